"""What the command `dsw-emulator` writes where a terminal has colours."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_dsw.emulator.cli.console import say_now

GREEN, RED, END = "\033[32m", "\033[31m", "\033[0m"


def shown_on_a_terminal(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say_now(text)
    return capsys.readouterr().out[10:]  # after the time of day


def test_states_have_a_colour(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    shown = shown_on_a_terminal("dsw-abc: Starting -> Running, SaveFailed", monkeypatch, capsys)

    assert shown == f"dsw-abc: Starting -> {GREEN}Running{END}, {RED}SaveFailed{END}\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_there_is_none_where_it_is_not_wanted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)

    assert shown_on_a_terminal("Running", monkeypatch, capsys) == "Running\n"
