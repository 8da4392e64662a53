"""ListInstances: pages, filters, order, and the traps that the documentation names."""

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from tests.support.emulator import refused


def listed(caller, **query):
    return [item["InstanceId"] for item in caller.list(**query)["Instances"]]


def add(emulator: DswEmulator, count: int) -> list[str]:
    return [emulator.add_instance(f"dsw-{number:03}") for number in range(count)]


def test_pages_cover_every_instance_once(emulator, caller):
    ids = add(emulator, 25)

    pages = [caller.list(PageNumber=str(number)) for number in (1, 2, 3, 4)]

    assert [len(page["Instances"]) for page in pages] == [10, 10, 5, 0]
    assert [item["InstanceId"] for page in pages for item in page["Instances"]] == ids
    assert {page["TotalCount"] for page in pages} == {25}


def test_a_page_holds_a_hundred_at_most(emulator, caller):
    ids = add(emulator, 101)

    assert listed(caller, PageSize="1000") == ids[:100]


def test_items_lack_what_the_documentation_says_and_hold_the_rest(emulator, caller):
    emulator.add_instance("dsw-abc")
    whole = caller.get()

    (item,) = caller.list()["Instances"]

    assert whole.keys() - item.keys() == {
        "AccessRestrictionRules",
        "Code",
        "DockerConfig",
        "HttpStatusCode",
        "Message",
        "MigrationOptions",
        "NodeErrorRecovery",
        "PodIps",
        "ProxyPath",
        "RequestId",
        "Success",
        "UserCommandId",
    }
    assert all(item[name] == whole[name] for name in item)


def test_several_ids_are_separated_by_commas(emulator, caller):
    add(emulator, 3)

    assert listed(caller, InstanceId="dsw-002,dsw-000,dsw-none") == ["dsw-000", "dsw-002"]


def test_without_a_workspace_only_the_default_one_is_listed(emulator, caller):
    emulator.add_instance("dsw-default")
    emulator.add_instance("dsw-other", WorkspaceId="7")

    assert listed(caller) == ["dsw-default"]
    assert listed(caller, WorkspaceId="7") == ["dsw-other"]
    assert listed(caller, WorkspaceId="ALL") == ["dsw-default", "dsw-other"]


def test_without_a_resource_only_pay_as_you_go_is_listed(emulator, caller):
    emulator.add_instance("dsw-default")
    emulator.add_instance("dsw-paid", PaymentType="Subscription", ResourceId="rg-1")

    assert listed(caller) == ["dsw-default"]
    assert listed(caller, ResourceId="rg-1") == ["dsw-paid"]
    assert listed(caller, ResourceId="ALL") == ["dsw-default", "dsw-paid"]


@pytest.mark.parametrize(
    "query",
    [
        {"Status": "Stopped"},
        {"InstanceName": "special"},
        {"ImageName": "own"},
        {"AcceleratorType": "GPU"},
        {"Accessibility": "PUBLIC"},
        {"CreateUserId": "9"},
        {"GpuType": "a10"},
        {"CreateTimeAfter": "2025-01-01T00:00:00Z"},
        {"CreateTimeBefore": "2020-06-01T00:00:00Z", "InstanceId": "dsw-past"},
        {"PaymentType": "Subscription", "ResourceId": "ALL"},
    ],
)
def test_a_filter_leaves_out_the_rest(emulator, caller, query):
    emulator.add_instance("dsw-plain")
    emulator.add_instance("dsw-past", GmtCreateTime="2020-01-01T00:00:00Z")
    emulator.add_instance(
        "dsw-special",
        "Stopped",
        InstanceName="a special one",
        ImageName="own",
        AcceleratorType="GPU",
        Accessibility="PUBLIC",
        UserId="9",
        RequestedResource={"GPUType": "a10"},
        GmtCreateTime="2026-01-01T00:00:00Z",
    )
    emulator.add_instance("dsw-paid", PaymentType="Subscription")

    wanted = query.pop("InstanceId", "dsw-paid" if "PaymentType" in query else "dsw-special")
    assert listed(caller, **query) == [wanted]


def test_the_list_is_in_the_order_asked_for(emulator, caller):
    emulator.add_instance("dsw-1", Priority=5)
    emulator.add_instance("dsw-2", Priority=9)
    emulator.add_instance("dsw-3", Priority=None)

    assert listed(caller, SortBy="Priority", Order="ASC") == ["dsw-3", "dsw-1", "dsw-2"]
    assert listed(caller, SortBy="Priority", Order="DESC") == ["dsw-2", "dsw-1", "dsw-3"]


@pytest.mark.parametrize(
    "query",
    [
        {"SortBy": "Priority"},
        {"Order": "ASC"},
        {"SortBy": "Name", "Order": "ASC"},
        {"SortBy": "Priority", "Order": "UP"},
        {"PageSize": "0"},
        {"PageNumber": "x"},
        {"Labels": '[{"Key": "a", "Value": "b"}]'},
        {"MinGpu": "1"},
        {"Tag.1.Key": "a"},
    ],
)
def test_a_parameter_that_makes_no_sense_or_is_not_served_is_refused(emulator, caller, query):
    with refused(400, "ValidationError"):
        caller.list(**query)


def test_a_list_does_not_show_an_instance_that_is_gone(emulator, caller):
    emulator.add_instance("dsw-abc", per_poll=["Deleting", None])
    assert listed(caller) == ["dsw-abc"]
    caller.get()
    with refused(404, "InternalError"):
        caller.get()

    assert listed(caller) == []
