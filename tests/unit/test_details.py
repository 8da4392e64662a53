"""Which details leave an instance's answer, and which values never do."""

import copy
import json

import pytest

from airflow_provider_dsw.arguments import did_you_mean
from airflow_provider_dsw.details import (
    default_details,
    parse_fields,
    redact,
    select,
    unknown_field_warnings,
)
from airflow_provider_dsw.emulator import SAMPLE_SECRET
from airflow_provider_dsw.waits.documented_fields import DOCUMENTED_FIELDS

# The API page's response elements, one level deep, as it stood on 2026-01 (pai-dsw/2022-01-01).
_PAGE = """
WorkspaceId WorkspaceName InstanceId InstanceName EcsSpec Status InstanceUrl JupyterlabUrl WebIDEUrl TerminalUrl
AccumulatedRunningTimeInMs ImageId ImageUrl ImageName GmtCreateTime GmtModifiedTime UserId UserName Datasets UserVpc
InstanceShutdownTimer ReasonCode ReasonMessage PaymentType LatestSnapshot AcceleratorType Accessibility
EnvironmentVariables ResourceId ResourceName Priority RequestedResource Labels IdleInstanceCuller
InstanceSnapshotList CloudDisks WorkspaceSource RequestId Success Message Code HttpStatusCode Driver
NodeErrorRecovery CredentialConfig Affinity ImageAuth Tags DynamicMount ProxyPath UserCommandId ServiceConfig PodIps
MigrationOptions AccessRestrictionRules DockerConfig TenantId
"""
ON_THE_PAGE = _PAGE.split()
_DEFAULT = """
InstanceId InstanceName Status ReasonCode ReasonMessage WorkspaceId WorkspaceName AcceleratorType EcsSpec ResourceId
ResourceName RequestedResource PaymentType Accessibility ImageId ImageName ImageUrl GmtCreateTime GmtModifiedTime
AccumulatedRunningTimeInMs InstanceUrl JupyterlabUrl WebIDEUrl TerminalUrl LatestSnapshot RequestId
"""
BY_DEFAULT = _DEFAULT.split()
WHOLE = {name: f"value of {name}" for name in ON_THE_PAGE}


@pytest.fixture
def answer(emulator):
    """A whole answer of the service, with a secret in each place that can hold one."""
    from tests.support.emulator import Caller

    emulator.add_instance("dsw-abc")
    return Caller(emulator).get()


def test_every_field_of_the_api_page_can_be_asked_for():
    assert list(DOCUMENTED_FIELDS) == ON_THE_PAGE


def test_every_field_of_a_whole_answer_can_be_asked_for(answer):
    parse_fields(list(answer))

    assert list(select(answer, list(answer))) == list(answer)


# What is taken


def test_by_default_the_details_are_those_that_the_interface_names():
    assert list(default_details(WHOLE)) == BY_DEFAULT
    assert select(WHOLE) == default_details(WHOLE) == {name: WHOLE[name] for name in BY_DEFAULT}


def test_by_default_what_the_answer_lacks_is_not_invented():
    assert select({"Status": "Running", "ReasonCode": None, "New": 1}) == {"Status": "Running", "ReasonCode": None}


def test_fields_come_in_the_order_in_which_they_are_asked_for():
    assert list(select(WHOLE, ["Status", "EcsSpec", "InstanceId"]).items()) == [
        ("Status", WHOLE["Status"]),
        ("EcsSpec", WHOLE["EcsSpec"]),
        ("InstanceId", WHOLE["InstanceId"]),
    ]


@pytest.mark.parametrize("kind", [list, tuple, set, dict.fromkeys(["Status"]).keys])
def test_any_collection_of_names_will_do(kind):
    fields = kind(["Status"]) if isinstance(kind, type) else kind()
    parse_fields(fields)

    assert select(WHOLE, fields) == {"Status": WHOLE["Status"]}


def test_a_documented_field_that_the_answer_lacks_is_none():
    assert select({"Status": "Running"}, ["Driver", "Status"]) == {"Driver": None, "Status": "Running"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("Status", "Running"),
        ("CloudDisks[0].Capacity", "30Gi"),
        ("CloudDisks[*].Capacity", ["30Gi", "50Gi"]),
        ("RequestedResource.GPU", "4"),
        ("CloudDisks[9].Capacity", None),
        ("Nothing.like.this", None),
        ("{id: InstanceId, disks: length(CloudDisks)}", {"id": "dsw-abc", "disks": 2}),
        ("length(not_null(PodIps, `[]`))", 0),
    ],
)
def test_an_expression_reaches_into_the_answer(expression, value):
    sent = {
        "InstanceId": "dsw-abc",
        "Status": "Running",
        "CloudDisks": [{"Capacity": "30Gi"}, {"Capacity": "50Gi"}],
        "RequestedResource": {"GPU": "4"},
    }
    parse_fields({"it": expression})

    assert select(sent, {"it": expression}) == {"it": value}


def test_an_expression_that_does_not_fit_the_answer_says_so():
    with pytest.raises(ValueError, match=r"fields\['n'\]: 'length\(PodIps\)' can't be evaluated on the answer"):
        select({}, {"n": "length(PodIps)"})


# What is refused


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([], "empty. Leave it out"),
        ({}, "empty. Leave it out"),
        ((), "empty. Leave it out"),
        ([""], "'' is not a name"),
        (["Status", " "], "' ' is not a name"),
        ([None], "None is not a name"),
        ([3], "3 is not a name"),
        ({"": "Status"}, "'' is not a name"),
        ({"return_value": "Status"}, "'return_value' is the key"),
        ("Status", "'Status' is neither a list of field names nor a dict"),
        (7, "7 is neither a list of field names nor a dict"),
        (["Statsu"], "no field 'Statsu'. Did you mean 'Status'?"),
        (["status"], "Did you mean 'Status'?"),
        (["JupyterLabUrl"], "Did you mean 'JupyterlabUrl'?"),
        (["GPUs"], "Known names: WorkspaceId,"),
        (["CloudDisks[0].Capacity"], "no field 'CloudDisks[0].Capacity'."),
        ({"disk": ""}, "fields['disk']: '' is not a JMESPath expression"),
        ({"disk": "  "}, "fields['disk']: '  ' is not a JMESPath expression"),
        ({"disk": None}, "fields['disk']: None is not a JMESPath expression"),
        ({"disk": "CloudDisks[0"}, "fields['disk']: 'CloudDisks[0' is not valid JMESPath"),
        ({"disk": "CloudDisks..Capacity"}, "is not valid JMESPath"),
    ],
)
def test_what_can_t_be_asked_for_is_refused_with_the_reason(fields, words):
    with pytest.raises(ValueError, match=r"^fields") as raised:
        parse_fields(fields)

    assert words in str(raised.value)


def test_no_fields_at_all_is_fine():
    parse_fields(None)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("statu", " Did you mean 'Status'?"),
        ("xyz", " Known names: Status, Image."),
        (None, " Known names: Status, Image."),
    ],
)
def test_a_suggestion_is_the_nearest_name_or_all_of_them(word, hint):
    assert did_you_mean(word, ("Status", "Image")) == hint


# What is secret


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        # The documented shapes.
        (
            {"CredentialConfig": {"Enable": True, "Configs": [{"Roles": [{"UserInfo": {"SecurityToken": "S"}}]}]}},
            {"CredentialConfig": {"Enable": "***", "Configs": [{"Roles": [{"UserInfo": {"SecurityToken": "***"}}]}]}},
        ),
        ({"ImageAuth": "S"}, {"ImageAuth": "***"}),
        ({"EnvironmentVariables": {"A": "S", "B": "S"}}, {"EnvironmentVariables": {"A": "***", "B": "***"}}),
        ({"ServiceConfig": {"JupyterServerPassword": "S"}}, {"ServiceConfig": {"JupyterServerPassword": "***"}}),
        (
            {"UserVpc": {"VpcId": "vpc-1", "ForwardInfos": [{"Name": "ssh", "SSHPublicKey": "S"}, {"Name": "b"}]}},
            {"UserVpc": {"VpcId": "vpc-1", "ForwardInfos": [{"Name": "ssh", "SSHPublicKey": "***"}, {"Name": "b"}]}},
        ),
        (
            {"Datasets": [{"Uri": "oss://b", "Options": "S"}, {"Uri": "nas://c"}]},
            {"Datasets": [{"Uri": "oss://b", "Options": "***"}, {"Uri": "nas://c"}]},
        ),
        # Other shapes: a service that changes its mind must not make a secret leave.
        (
            {"EnvironmentVariables": [{"Key": "A", "Value": "S"}]},
            {"EnvironmentVariables": [{"Key": "***"} | {"Value": "***"}]},
        ),
        ({"EnvironmentVariables": "A=S"}, {"EnvironmentVariables": "***"}),
        ({"ImageAuth": {"User": "S", "Ports": [1, 2]}}, {"ImageAuth": {"User": "***", "Ports": ["***", "***"]}}),
        ({"CredentialConfig": "S"}, {"CredentialConfig": "***"}),
        ({"ServiceConfig": ["S", ["S"]]}, {"ServiceConfig": ["***", ["***"]]}),
        ({"Datasets": {"Options": "S"}}, {"Datasets": {"Options": "***"}}),
        ({"Datasets": [{"Options": {"fs": {"key": "S"}}}]}, {"Datasets": [{"Options": {"fs": {"key": "***"}}}]}),
        (
            {"UserVpc": [{"ForwardInfos": {"SSHPublicKey": ["S"]}}]},
            {"UserVpc": [{"ForwardInfos": {"SSHPublicKey": ["***"]}}]},
        ),
        ({"ImageAuth": 7}, {"ImageAuth": "***"}),
        ({"ImageAuth": False}, {"ImageAuth": "***"}),
        # Even whether there is one.
        ({"ImageAuth": None}, {"ImageAuth": "***"}),
        ({"ImageAuth": ""}, {"ImageAuth": "***"}),
        # Nothing to hide.
        ({"EnvironmentVariables": {}, "ServiceConfig": []}, {"EnvironmentVariables": {}, "ServiceConfig": []}),
        ({"UserVpc": None, "Datasets": None}, {"UserVpc": None, "Datasets": None}),
        ({"UserVpc": {"ForwardInfos": None}, "Datasets": []}, {"UserVpc": {"ForwardInfos": None}, "Datasets": []}),
        ({"UserVpc": "vpc-1", "Datasets": ["d-1"]}, {"UserVpc": "vpc-1", "Datasets": ["d-1"]}),
        ({"Options": "plain", "SSHPublicKey": "plain"}, {"Options": "plain", "SSHPublicKey": "plain"}),
        ({}, {}),
    ],
)
def test_a_secret_is_replaced_and_its_shape_stays(sent, left):
    before = copy.deepcopy(sent)

    assert redact(sent) == left
    assert sent == before  # the caller's own answer is left alone


def test_no_secret_of_a_whole_answer_is_selected_by_whatever_way(answer):
    image_auth = answer["ImageAuth"]
    ways = [
        list(answer),
        {"all": "@"},
        {"env": "EnvironmentVariables", "auth": "ImageAuth"},
        {"n": "*"},
        {"m": "[@][0]"},
    ]
    selected = json.dumps([select(answer, fields) for fields in (*ways, None)])

    assert SAMPLE_SECRET in json.dumps(answer)
    assert SAMPLE_SECRET not in selected
    assert image_auth not in selected


def test_secrets_are_replaced_before_an_expression_can_transform_them():
    fields = {"backwards": "reverse(ImageAuth)", "json": "to_string(EnvironmentVariables)"}

    assert select({"ImageAuth": "abc", "EnvironmentVariables": {"A": "S"}}, fields) == {
        "backwards": "***",
        "json": '{"A":"***"}',
    }


def test_all_of_it_is_selected_where_the_author_asks_for_what_is_sensitive(answer):
    assert select(answer, list(answer), include_sensitive=True) == answer
    assert select(answer, {"all": "@"}, include_sensitive=True) == {"all": answer}


def test_the_default_details_hold_no_secret(answer):
    assert SAMPLE_SECRET not in json.dumps(default_details(answer))


# Secrets in whatever shape


@pytest.mark.parametrize(
    "answer",
    [
        {"Datasets": {"Options": SAMPLE_SECRET}},
        {"Datasets": {"Items": [{"Options": {"key": SAMPLE_SECRET}}]}},
        {"Datasets": json.dumps([{"Options": SAMPLE_SECRET}])},
        {"Datasets": [json.dumps({"Options": SAMPLE_SECRET})]},
        {"Datasets": '{"Opt\\u0069ons": "' + SAMPLE_SECRET + '"}'},
        {"Datasets": "{'Options': '" + SAMPLE_SECRET + "'}"},
        {"Datasets": "Options=" + SAMPLE_SECRET},
        {"DynamicMount": {"MountPoints": [{"Options": SAMPLE_SECRET}]}},
        {"UserVpc": {"ForwardInfos": {"Items": [{"SSHPublicKey": SAMPLE_SECRET}]}}},
        {"UserVpc": json.dumps({"ForwardInfos": [{"SSHPublicKey": SAMPLE_SECRET}]})},
        {"CredentialConfig": json.dumps({"SecurityToken": SAMPLE_SECRET})},
        {"EnvironmentVariables": [{"Name": "A", "Value": SAMPLE_SECRET}]},
        {"ImageAuth": SAMPLE_SECRET},
        {"InstanceUrl": f"https://host/?token={SAMPLE_SECRET}"},
        {"ReasonMessage": f"no access to https://me:{SAMPLE_SECRET}@registry/a"},
        {"LatestSnapshot": {"ImageUrl": f"https://me:{SAMPLE_SECRET}@registry/a"}},
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
def test_a_secret_is_replaced_in_whatever_shape_the_service_sends_it(answer):
    redacted = json.dumps(redact(answer))

    assert SAMPLE_SECRET not in redacted
    assert "***" in redacted


def test_json_in_a_string_without_a_secret_stays_as_it_was_sent():
    answer = {"Datasets": '[ {"MountPath": "/mnt"} ]', "UserVpc": "vpc-1"}

    assert redact(answer) == answer


@pytest.mark.parametrize("name", ["Datasets", "CredentialConfig", "Labels"])
def test_what_lies_too_deep_to_be_looked_at_is_replaced_whole(name):
    nested: object = SAMPLE_SECRET
    for _ in range(1500):
        nested = {"Options": [nested]}

    assert SAMPLE_SECRET not in json.dumps(redact({name: nested}))


# Mistyped expressions


@pytest.mark.parametrize("expression", ["Statu", "Statu.deeper", "not_null(Statu, Driver)"])
def test_an_expression_with_a_mistyped_field_is_told_with_the_nearest(expression):
    (warning,) = unknown_field_warnings({"s": expression}, {"s": None})

    assert warning == "fields['s'] is None: GetInstance documents no field 'Statu'. Did you mean 'Status'?"


@pytest.mark.parametrize(("expression", "value"), [("Statu", 1), ("Driver", None), ("`null`", None), ("@", None)])
def test_an_expression_with_a_value_or_a_documented_field_is_not(expression, value):
    assert unknown_field_warnings({"s": expression}, {"s": value}) == []
