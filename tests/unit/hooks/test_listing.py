"""ListInstances: all pages, and filters under snake_case names; and ListInstanceSnapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_dsw.exceptions import DswError, DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook
from tests.support.hooks import connect_to
from tests.support.raw_server import RawServer, http, in_turn, sends


def listed(**filters):
    return [instance["InstanceId"] for instance in DswHook().list_instances(**filters)]


@pytest.mark.parametrize(("size", "pages"), [(3, 3), (7, 1), (1, 7), (100, 1), (None, 1)])
def test_every_page_is_fetched_once(size, pages, dsw_default):
    ids = [dsw_default.add_instance(f"dsw-{number}") for number in range(7)]

    assert listed(page_size=size) == ids
    assert [request.query["PageNumber"] for request in dsw_default.requests] == [str(n + 1) for n in range(pages)]


def test_more_than_the_largest_page_is_listed_too(dsw_default):
    ids = [dsw_default.add_instance(f"dsw-{number}") for number in range(205)]

    assert listed() == ids
    assert len(dsw_default.requests) == 3


def test_no_instances_are_none(dsw_default):
    assert listed() == []
    assert len(dsw_default.requests) == 1


def test_a_page_is_fetched_when_it_is_needed(dsw_default):
    for number in range(7):
        dsw_default.add_instance(f"dsw-{number}")

    instances = DswHook().list_instances(page_size=3)
    assert dsw_default.requests == []
    next(instances)

    assert len(dsw_default.requests) == 1


def test_several_ids_are_asked_for_at_once(dsw_default):
    for number in range(4):
        dsw_default.add_instance(f"dsw-{number}")

    assert listed(instance_id=["dsw-2", "dsw-0"]) == ["dsw-0", "dsw-2"]
    assert dsw_default.requests[0].query["InstanceId"] == "dsw-2,dsw-0"


def test_filters_narrow_the_list(dsw_default):
    dsw_default.add_instance("dsw-1", "Stopped", WorkspaceId="7")
    dsw_default.add_instance("dsw-2", "Running", WorkspaceId="7")
    dsw_default.add_instance("dsw-3", "Running", WorkspaceId="8", PaymentType="Subscription")

    assert listed(status="Running", workspace_id="ALL", resource_id="ALL") == ["dsw-2", "dsw-3"]
    assert listed(workspace_id=7) == ["dsw-1", "dsw-2"]


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"instance_name": "a b&c=ü"}, {"InstanceName": "a b&c=ü"}),
        ({"gpu_type": "V100", "accelerator_type": "GPU"}, {"GpuType": "V100", "AcceleratorType": "GPU"}),
        ({"min_gpu": 2, "max_memory": 64}, {"MinGpu": "2", "MaxMemory": "64"}),
        ({"labels": {"team": "x"}}, {"Labels": '{"team":"x"}'}),
        ({"tag": [{"Key": "a", "Value": "b"}]}, {"Tag": '[{"Key":"a","Value":"b"}]'}),
        ({"status": ("Running", "Stopped")}, {"Status": "Running,Stopped"}),
        ({"accessibility": True}, {"Accessibility": "true"}),
        ({"accessibility": False}, {"Accessibility": "false"}),
        ({"sort_by": "Priority", "order": "DESC"}, {"SortBy": "Priority", "Order": "DESC"}),
        ({"workspace_id": None, "status": None}, {}),
        ({"create_time_after": "2026-01-31T12:00:00Z"}, {"CreateTimeAfter": "2026-01-31T12:00:00Z"}),
        ({"create_time_after": datetime(2026, 1, 31, 12, tzinfo=UTC)}, {"CreateTimeAfter": "2026-01-31T12:00:00Z"}),
        (
            {"create_time_before": datetime(2026, 1, 31, 20, 0, 0, 7, tzinfo=timezone(timedelta(hours=8)))},
            {"CreateTimeBefore": "2026-01-31T12:00:00Z"},
        ),
    ],
)
def test_a_filter_goes_under_the_api_s_name(filters, query, monkeypatch):
    with RawServer(sends(http(200, {"Instances": [], "TotalCount": 0}))) as server:
        list(connect_to(monkeypatch, server.port).list_instances(**filters))

    sent = dict(parse_qsl(urlsplit(server.received[0].line.split()[1]).query))
    assert sent == {"PageSize": "100", "PageNumber": "1", **query}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"sort_by": "Priority"}, "sort_by and order go together"),
        ({"order": "DESC"}, "sort_by and order go together"),
        ({"stauts": "Running"}, "no filter 'stauts'. Did you mean 'status'?"),
        ({"Status": "Running"}, "Did you mean 'status'?"),
        ({"page_number": 2}, "no filter 'page_number'"),
        ({"status": "Runing"}, "status: 'Runing' is not an instance status. Did you mean 'Running'?"),
        ({"create_time_after": datetime(2026, 1, 31)}, "create_time_after: .* has no time zone"),  # noqa: DTZ001
    ],
)
def test_a_filter_that_does_not_exist_is_refused_at_once(filters, words, dsw_default):
    with pytest.raises(ValueError, match=words):
        DswHook().list_instances(**filters)  # not only when it is iterated over

    assert dsw_default.requests == []


@pytest.mark.parametrize(
    "answer", [{"TotalCount": 7}, {"Instances": None, "TotalCount": 7}, {"Instances": {"a": 1}, "TotalCount": 1}]
)
@pytest.mark.usefixtures("no_pauses")
def test_an_answer_without_a_list_is_a_broken_one(answer, monkeypatch):
    with RawServer(sends(http(200, answer))) as server, pytest.raises(DswTransientError, match="no list of Instances"):
        list(connect_to(monkeypatch, server.port).list_instances())


@pytest.mark.parametrize("total", [{}, {"TotalCount": None}, {"TotalCount": 99}, {"TotalCount": "3"}])
def test_a_wrong_total_neither_loses_a_page_nor_asks_for_ever(total, monkeypatch):
    pages = [[{"InstanceId": "dsw-1"}, {"InstanceId": "dsw-2"}], [{"InstanceId": "dsw-3"}], [], []]
    answers = [sends(http(200, {"Instances": page, **total})) for page in pages]
    with RawServer(in_turn(*answers)) as server:
        found = list(connect_to(monkeypatch, server.port).list_instances(page_size=2))

    assert [instance["InstanceId"] for instance in found] == ["dsw-1", "dsw-2", "dsw-3"]


@pytest.mark.usefixtures("no_pauses")
def test_a_page_that_fails_for_a_moment_is_asked_for_again(dsw_default):
    ids = [dsw_default.add_instance(f"dsw-{number}") for number in range(4)]
    instances = DswHook().list_instances(page_size=2)
    found = [next(instances)]
    dsw_default.fault(status=503)

    found += instances

    assert [instance["InstanceId"] for instance in found] == ids


def test_a_refusal_ends_the_list(dsw_default):
    dsw_default.fault(status=403, code="NoPermission")

    with pytest.raises(DswError, match="paidsw:ListInstances"):
        listed()


def test_all_snapshots_are_listed_with_their_ids_and_labels(dsw_default, monkeypatch):
    monkeypatch.setattr("airflow_provider_dsw.client.api.PAGE_SIZE", 2)
    dsw_default.add_instance("dsw-1", old_snapshot=False)
    ids = [dsw_default.add_snapshot("dsw-1") for _ in range(4)]
    hook = DswHook()
    ids.append(
        hook.create_instance_snapshot("dsw-1", snapshot_name="a", image_url="b", labels={"team": "c"})["SnapshotId"]
    )

    found = list(hook.list_instance_snapshots("dsw-1"))

    assert {snapshot["SnapshotId"] for snapshot in found} == set(ids)
    assert [{"Key": "team", "Value": "c"}] in [snapshot["Labels"] for snapshot in found]
    assert len(dsw_default.calls("ListInstanceSnapshot")) == 3


@pytest.mark.usefixtures("no_pauses")
def test_snapshots_of_another_instance_are_a_broken_answer(monkeypatch):
    answer = {"Snapshots": [{"SnapshotId": "snp-1", "InstanceId": "dsw-2"}], "TotalCount": 1}
    with RawServer(sends(http(200, answer))) as server, pytest.raises(DswTransientError, match="InstanceId 'dsw-2'"):
        list(connect_to(monkeypatch, server.port).list_instance_snapshots("dsw-1"))
