"""What in a URL is replaced because it lets in whoever reads it."""

from __future__ import annotations

import time

import pytest

from airflow_provider_dsw.urls import hide_secrets, hide_secrets_in_url, holds_secret


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("https://user:password@host/x", "https://***@host/x"),
        ("https://token@host", "https://***@host"),
        ("https://host/x?token=abc", "https://host/x?token=***"),
        ("https://host?token=abc", "https://host?token=***"),
        ("https://host/x?%74oken=abc", "https://host/x?%74oken=***"),
        ("https://host/x?%2574oken=abc", "https://host/x?%2574oken=***"),
        ("https://host/x?a=1&SecurityToken=abc&b=2", "https://host/x?a=1&SecurityToken=***&b=2"),
        ("https://host/x?sig=abc", "https://host/x?sig=***"),
        ("https://host/x?jwt=abc", "https://host/x?jwt=***"),
        ("https://host/x?api-key=abc", "https://host/x?api-key=***"),
        ("https://host/x?X-Amz-Signature=abc", "https://host/x?X-Amz-Signature=***"),
        ("https://host/x;token=abc/y", "https://host/x;token=***/y"),
        ("https://host/#access_token=abc", "https://host/#access_token=***"),
        ("https://host/token/abc", "https://host/token/***"),
        ("https://host/%74oken//abc/lab", "https://host/%74oken//***/lab"),
        ("https://host/?next=https%3A%2F%2Fother%2F%3Ftoken%3Dabc", "https://host/?next=***"),
        ("https://host/?x=eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "https://host/?x=***"),
    ],
)
def test_what_lets_somebody_in_is_hidden(url: str, hidden: str) -> None:
    assert hide_secrets_in_url(url) == hidden
    assert holds_secret(url)
    assert hide_secrets_in_url(hidden) == hidden


@pytest.mark.parametrize(
    "url",
    [
        "https://dsw-cn-hangzhou.data.aliyun.com/notebook.htm?instance=38453#/",
        "https://dsw-gateway-cn-shanghai.data.aliyun.com/dsw-38453/lab/",
        "https://pai.console.aliyun.com/?regionId=cn-hangzhou&workspaceId=40823",
        "https://host/tokens.html?page=2",
        "https://host/?token=",
        "oss://bucket.oss-cn-beijing-internal.aliyuncs.com/data/",
    ],
)
def test_a_url_that_lets_nobody_in_is_left_as_it_is(url: str) -> None:
    assert hide_secrets_in_url(url) == url
    assert not holds_secret(url)


def test_each_url_of_a_text_is_looked_at_and_all_else_left_alone() -> None:
    text = 'failed to pull "https://me:pw@registry/a" and\nhttps://host/?sig=x, token=kept: no URL'

    assert hide_secrets(text) == 'failed to pull "https://***@registry/a" and\nhttps://host/?sig=*** token=kept: no URL'


@pytest.mark.parametrize("part", ["token", "eyJ", "a", "://", "/token", "%25", "?token=", " https://"])
def test_a_long_text_takes_time_in_proportion(part: str) -> None:
    def seconds(length: int) -> float:
        text = "https://host/" + part * (length // len(part))
        began = time.thread_time()
        hide_secrets(text)
        return time.thread_time() - began

    once = min(seconds(20_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(3)) < 30 * max(once, 0.0005)
