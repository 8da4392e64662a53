"""Instances that are created, changed and deleted, by the SDK's typed client."""

import json
import re

import pytest
from alibabacloud_pai_dsw20220101 import models

from tests.support.emulator import ROOT, refused, sdk_call

BODY = {
    "InstanceName": "training_1",
    "EcsSpec": "ecs.gn6i-c4g1.xlarge",
    "ImageUrl": "registry.example.com/team/torch:2",
}


def request(**changed):
    body = {name: value for name, value in {**BODY, **changed}.items() if value is not None}
    return models.CreateInstanceRequest().from_map(body)


def create(sdk, **changed):
    return sdk.create_instance(request(**changed)).body.instance_id


def create_by_hand(caller, **changed):
    return sdk_call(caller.client, "CreateInstance", ROOT, "POST", body={**BODY, **changed})


def get(sdk, instance_id):
    return sdk.get_instance(instance_id, models.GetInstanceRequest()).body


def ids(sdk, **filters):
    found = sdk.list_instances(models.ListInstancesRequest(resource_id="ALL", **filters)).body
    return [instance.instance_id for instance in found.instances]


def test_a_new_instance_has_an_id_goes_its_way_and_shows_what_it_was_made_of(emulator, sdk):
    emulator.start_timeline = ["Creating", "Starting", "Running"]
    labels = [{"Key": "airflow", "Value": "run-1"}]

    instance_id = create(
        sdk, Labels=labels, EnvironmentVariables={"A": "1"}, RequestedResource={"CPU": "4", "Memory": "16"}
    )

    assert re.fullmatch(r"dsw-[a-z0-9]{16}", instance_id)
    shown = [get(sdk, instance_id) for _ in range(3)]
    assert [fields.status for fields in shown] == ["Creating", "Starting", "Running"]
    fields = shown[-1].to_map()
    assert {name: fields[name] for name in ("InstanceId", "InstanceName", "EcsSpec", "ImageUrl", "ImageName")} == {
        "InstanceId": instance_id,
        **BODY,
        "ImageName": "2",
    }
    assert (fields["Labels"], fields["EnvironmentVariables"]) == (labels, {"A": "1"})
    assert fields["RequestedResource"]["Memory"] == "16GB"
    assert (fields["AcceleratorType"], fields["PaymentType"]) == ("GPU", "PayAsYouGo")
    assert (fields.get("LatestSnapshot"), fields.get("InstanceShutdownTimer")) == (None, None)
    assert fields["GmtCreateTime"] > "2026"


def test_two_creations_are_two_instances_also_of_one_name(sdk):
    assert create(sdk) != create(sdk)
    assert len(ids(sdk)) == 2


def test_an_instance_on_a_quota_is_in_no_list_that_does_not_ask_for_it(sdk):
    instance_id = create(sdk, EcsSpec=None, ResourceId="quota123", RequestedResource={"GPU": "1"})

    assert ids(sdk) == [instance_id]
    assert sdk.list_instances(models.ListInstancesRequest()).body.total_count == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"InstanceName": None},
        {"InstanceName": "with-hyphen"},
        {"InstanceName": "x" * 28},
        {"ImageUrl": None},
        {"EcsSpec": None},
        {"Accessibility": "SECRET"},
        {"Priority": 10},
        {"Labels": [{"Key": "acs:owner", "Value": "x"}]},
        {"Labels": [{"Key": "", "Value": "x"}]},
        {"Labels": [{"Key": "k", "Value": "x" * 129}]},
    ],
)
def test_what_can_not_be_created_is_refused(emulator, sdk, wrong):
    with refused(400, "ValidationError"):
        create(sdk, **wrong)
    assert emulator.statuses() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"InstanceName": 5},
        {"Labels": {"a": "b"}},
        {"Labels": [{"Key": 1, "Value": "x"}]},
        {"Datasets": "oss://x"},
        {"EnvironmentVariables": ["A"]},
        {"Priority": "1"},
        {"Tag": "x"},
    ],
)
def test_a_value_of_the_wrong_type_is_refused(emulator, caller, wrong):
    with refused(400, "ValidationError"):
        create_by_hand(caller, **wrong)
    assert emulator.statuses() == {}


@pytest.mark.parametrize("what", ["ignored", "refused"])
def test_unknown_fields_are_ignored_or_refused(emulator, caller, what):
    emulator.unknown_fields = what

    if what == "refused":
        with refused(400, "ValidationError") as raised:
            create_by_hand(caller, InstanceNmae="x")
        assert "InstanceNmae" in raised.value.message
    else:
        assert "InstanceNmae" not in caller.get(create_by_hand(caller, InstanceNmae="x")["InstanceId"])


def test_nothing_may_be_required(emulator, caller):
    emulator.required_fields = False

    answer = sdk_call(caller.client, "CreateInstance", ROOT, "POST", body={})

    assert caller.status(answer["InstanceId"]) == "Creating"


def test_names_may_be_unique(emulator, sdk):
    emulator.unique_instance_names = True
    create(sdk)

    with refused(400, "ValidationError"):
        create(sdk)
    create(sdk, InstanceName="other")


def test_there_may_be_no_stock_for_the_first_creations(emulator, sdk):
    emulator.no_stock = 2
    for _ in range(2):
        with refused(400, "OperationDenied.NoStock"):
            create(sdk)
    assert emulator.statuses() == {}

    create(sdk)


def test_a_creation_may_be_performed_while_its_answer_is_lost(emulator, sdk):
    emulator.fault("CreateInstance", status=503, performed=True)

    with refused(503, "ServiceUnavailable"):
        create(sdk)

    assert len(ids(sdk)) == 1


def test_what_was_created_may_appear_late_in_lists(emulator, sdk):
    emulator.late_lists = 2
    instance_id = create(sdk)

    assert get(sdk, instance_id).status == "Creating"
    assert [ids(sdk) for _ in range(3)] == [[], [], [instance_id]]


@pytest.mark.parametrize("works", [True, False])
def test_an_instance_is_found_by_its_labels_among_many_of_like_names(emulator, sdk, works):
    emulator.label_filter = works
    for number in range(100):
        emulator.add_instance(f"dsw-{number}", InstanceName=f"training_1{number}", Labels=[{"Key": "a", "Value": "y"}])
    mine = create(sdk, Labels=[{"Key": "a", "Value": "x"}, {"Key": "b", "Value": "z"}])

    pages = [
        ids(sdk, instance_name="training_1", labels={"a": "x"}, page_size=100, page_number=number) for number in (1, 2)
    ]

    if works:
        assert pages == [[mine], []]
    else:
        assert len(pages[0]) == 100
        assert pages[1] == [mine]


@pytest.mark.parametrize("labels", ["{", "[]", '{"a": 1}', json.dumps(dict.fromkeys("abcde", "x"))])
def test_a_filter_by_labels_is_an_object_of_up_to_four(caller, labels):
    with refused(400, "ValidationError"):
        caller.list(Labels=labels)


# Deletion


def test_a_deleted_instance_is_deleting_and_then_gone(emulator, sdk, clock):
    emulator.delete_timeline = [("Deleting", 60), (None, None)]
    emulator.add_instance("dsw-abc")

    assert sdk.delete_instance("dsw-abc").body.instance_id == "dsw-abc"
    assert get(sdk, "dsw-abc").status == "Deleting"
    clock.advance(60)

    with refused(404, "InternalError"):
        get(sdk, "dsw-abc")
    with refused(404, "InternalError"):
        sdk.delete_instance("dsw-abc")
    assert ids(sdk) == []


@pytest.mark.parametrize(
    ("deletable", "status", "allowed"),
    [
        ("any", "Running", True),
        ("any", "Queuing", True),
        ("any", "Saving", False),
        ("any", "Updating", False),
        ("any", "Deleting", False),
        ("stopped", "Running", False),
        ("stopped", "Stopping", False),
        ("stopped", "Stopped", True),
        ("stopped", "Failed", True),
    ],
)
def test_from_which_status_an_instance_may_be_deleted(emulator, sdk, deletable, status, allowed):
    emulator.add_instance("dsw-abc", status, options={"deletable": deletable})

    if allowed:
        sdk.delete_instance("dsw-abc")
    else:
        with refused(400, "ValidationError"):
            sdk.delete_instance("dsw-abc")

    assert emulator.status("dsw-abc") == ("Deleting" if allowed else status)


def test_a_404_may_mean_denied(emulator, sdk):
    emulator.add_instance("dsw-abc")
    emulator.add_credential("emulator-key-id", "emulator-key-secret", denied={"paidsw:DeleteInstance"})
    emulator.denied_status = 404

    with refused(404, "100700008"):
        sdk.delete_instance("dsw-abc")

    assert emulator.status("dsw-abc") == "Running"


# Changes


def test_an_update_changes_fields_and_is_seen_as_updating(emulator, sdk, clock):
    emulator.add_instance("dsw-abc", "Stopped")

    sdk.update_instance("dsw-abc", models.UpdateInstanceRequest(instance_name="renamed", priority=5))
    during = get(sdk, "dsw-abc")
    clock.advance(2)

    assert (during.status, get(sdk, "dsw-abc").status) == ("Updating", "Stopped")
    assert (during.instance_name, during.priority) == ("renamed", 5)


def test_an_update_may_start_the_instance(emulator, sdk, clock):
    emulator.add_instance("dsw-abc", "Stopped")

    sdk.update_instance("dsw-abc", models.UpdateInstanceRequest(instance_name="renamed", start_instance=True))
    clock.advance(2)

    assert get(sdk, "dsw-abc").status == "Creating"


def test_an_update_that_changes_nothing_is_refused(emulator, sdk):
    emulator.add_instance("dsw-abc", InstanceName="same")

    with refused(400, "ValidationError"):
        sdk.update_instance("dsw-abc", models.UpdateInstanceRequest(instance_name="same"))


def test_labels_are_added_replaced_and_removed(emulator, sdk):
    emulator.add_instance("dsw-abc", Labels=[{"Key": "a", "Value": "1"}])
    new = [models.UpdateInstanceLabelsRequestLabels(key, value) for key, value in (("a", "2"), ("b", "3"))]

    sdk.update_instance_labels("dsw-abc", models.UpdateInstanceLabelsRequest(new))
    added = get(sdk, "dsw-abc").to_map()["Labels"]
    sdk.delete_instance_labels("dsw-abc", models.DeleteInstanceLabelsRequest("a,c"))

    assert added == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
    assert get(sdk, "dsw-abc").to_map()["Labels"] == [{"Key": "b", "Value": "3"}]


def test_a_replica_that_is_behind_shows_the_labels_from_before(emulator, sdk):
    emulator.stale_reads = 1
    emulator.add_instance("dsw-abc", Labels=[])
    label = models.UpdateInstanceLabelsRequestLabels("a", "1")

    def shown():
        return [get(sdk, "dsw-abc").to_map()["Labels"] for _ in range(2)]

    sdk.update_instance_labels("dsw-abc", models.UpdateInstanceLabelsRequest([label]))
    assert shown() == [[], [{"Key": "a", "Value": "1"}]]
    sdk.delete_instance_labels("dsw-abc", models.DeleteInstanceLabelsRequest("a"))
    assert shown() == [[{"Key": "a", "Value": "1"}], []]


def test_a_replica_that_is_behind_does_not_find_a_new_instance(emulator, sdk):
    emulator.stale_reads = 2

    instance_id = create(sdk)

    for _ in range(2):
        with refused(404, "InternalError"):
            get(sdk, instance_id)
    assert get(sdk, instance_id).status == "Creating"
    assert ids(sdk) == [instance_id]


def test_a_snapshot_is_deleted(emulator, sdk, caller):
    emulator.add_instance("dsw-abc")
    emulator.add_snapshot("dsw-abc", "snp-1", "Saved")

    answer = sdk.delete_instance_snapshot("dsw-abc", "snp-1").body

    assert (answer.instance_id, answer.snapshot_id) == ("dsw-abc", "snp-1")
    assert caller.list_snapshots()["TotalCount"] == 1
    with refused(404, "InternalError"):
        sdk.delete_instance_snapshot("dsw-abc", "snp-1")


@pytest.mark.parametrize(("no_stock", "available"), [(0, True), (1, False)])
def test_specs_are_listed_with_their_stock(emulator, sdk, no_stock, available):
    emulator.no_stock = no_stock

    gpus = sdk.list_ecs_specs(models.ListEcsSpecsRequest(accelerator_type="GPU")).body
    cpus = sdk.list_ecs_specs(models.ListEcsSpecsRequest(accelerator_type="CPU", page_size=1)).body

    assert {spec.is_available for spec in gpus.ecs_specs} == {available}
    assert all(spec.gputype and spec.price > 0 for spec in gpus.ecs_specs)
    assert (cpus.total_count, [spec.instance_type for spec in cpus.ecs_specs]) == (2, ["ecs.c6.large"])
    with refused(400, "ValidationError"):
        sdk.list_ecs_specs(models.ListEcsSpecsRequest())


@pytest.mark.parametrize("selects", [False, True])
def test_fields_may_select_what_is_answered(emulator, caller, selects):
    emulator.fields_parameter = "selects" if selects else "ignored"
    emulator.add_instance("dsw-abc")

    fields = caller.get(Fields="Status, Labels,Odd")

    assert set(fields) == {"Status", "Labels", "RequestId"} if selects else len(fields) > 50


def test_a_key_may_be_allowed_some_actions_only(emulator, sdk):
    emulator.add_credential("emulator-key-id", "emulator-key-secret", allowed={"paidsw:CreatePostPaidInstance"})

    instance_id = create(sdk)

    with refused(403, "NoPermission"):
        get(sdk, instance_id)
