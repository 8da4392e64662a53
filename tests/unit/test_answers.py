"""What the service says, wherever it goes: one answer for each way that a text takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_dsw.client import api
from airflow_provider_dsw.client.failures import Failure, outcome_of
from airflow_provider_dsw.details import redact_body, select
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswError, DswOperationFailedError, DswWaitFailedError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.links.dsw import links_of
from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator
from airflow_provider_dsw.polling import raise_for_outcome
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.waits.answers import PollResult
from airflow_provider_dsw.waits.conditions import StatusCondition, Wait, evaluate
from airflow_provider_dsw.waits.labels import with_label
from airflow_provider_dsw.waits.operations import Baseline
from airflow_provider_dsw.waits.transitions import detect_transitions
from tests.support import modes, task_runs
from tests.support.hooks import connect_to
from tests.support.raw_server import RawServer, http, in_turn, sends
from tests.support.strangers import BAD

ID = "dsw-abc"
PASSWORD = "of-the-instance"
BODY = {"InstanceName": "a", "EcsSpec": "ecs.g6.large", "ImageUrl": "registry/a:1"}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@pytest.mark.parametrize("said", ["\0", "\ud800", "\x1b[31m", "\x9b2J", "\u202e", "\u2066", "\u2028"])
def test_no_xcom_holds_what_a_database_refuses_or_a_terminal_obeys(said: str) -> None:
    answer = {"InstanceName": f"q{said}w", "Labels": [{f"a{said}": [f"{said}\n"]}], "Status": said, f"{said}a": 1}

    stored = as_json(select(answer, {"all": "@"}))

    stored.encode()
    assert BAD.findall(stored) == []
    # Nothing of it comes together that was apart.
    assert "qw" not in stored


@pytest.mark.parametrize("mode", [modes.poke, modes.defer], ids=lambda mode: str(mode.__name__))
def test_a_wait_goes_on_though_a_status_is_half_a_character(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    odd, good = (sends(http(200, {"InstanceId": ID, "Status": status})) for status in ("\ud800", "Running"))
    with RawServer(in_turn(odd, odd, good, good)) as server:
        connect_to(monkeypatch, server.port)

        assert mode()["Status"] == "Running"
        assert len(server.received) >= 3


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e999"])
def test_no_xcom_holds_a_number_that_json_has_not(number: str) -> None:
    answer = json.loads(f'{{"AccumulatedRunningTimeInMs": {number}, "Labels": [{number}]}}')

    assert select(answer, ["AccumulatedRunningTimeInMs", "Labels"]) == {
        "AccumulatedRunningTimeInMs": None,
        "Labels": [None],
    }


def test_a_text_in_an_xcom_is_cut() -> None:
    assert len(select({"InstanceName": "x" * 2**20})["InstanceName"]) == 64 * 1024


def test_a_name_with_joined_emoji_and_lines_stays_as_it_is() -> None:
    name = "👩‍💻 of\tthe\nteam é"

    assert select({"InstanceName": name}) == {"InstanceName": name}


@pytest.mark.parametrize("url", ["https://dsw.example/\nx", "https://dsw.example/\u202ex", "https://dsw.example/ x"])
def test_a_url_that_is_not_what_it_looks_like_is_no_link(url: str) -> None:
    assert set(links_of({"InstanceUrl": url}).values()) == {""}


@pytest.mark.parametrize("workspace_id", ["\uff11\uff12", "a/b", ["1"], {"a": 1}, None])
def test_a_workspace_that_is_none_has_no_link(workspace_id: Any) -> None:
    assert set(links_of({"WorkspaceId": workspace_id}, "cn-hangzhou").values()) == {""}


# What the instance was given


GIVEN = [
    {"EnvironmentVariables": {"DB_PASSWORD": PASSWORD}},
    {"EnvironmentVariables": json.dumps({"DB_PASSWORD": PASSWORD})},
    {"ImageAuth": PASSWORD},
    {"UserVpc": {"ForwardInfos": [{"SSHPublicKey": PASSWORD}]}},
    {"Datasets": [{"Options": json.dumps({"key": PASSWORD})}]},
    {"EnvironmentVariables": {"DB_PASSWORD": PASSWORD, "HALF_A_CHARACTER": "\ud800 of it"}},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_a_reason_does_not_echo_what_is_secret_of_the_instance(given: dict[str, Any]) -> None:
    wait = Wait(StatusCondition(ID))
    answer = {"InstanceId": ID, "Status": "Failed", "ReasonMessage": f"exit 1: DB_PASSWORD={PASSWORD}", **given}

    with pytest.raises(DswWaitFailedError, match="DB_PASSWORD=") as raised:
        raise_for_outcome(wait, evaluate(wait, PollResult(answer)))

    assert PASSWORD not in f"{raised.value} {raised.value.message}"
    assert PASSWORD not in str(select(answer))


SECRET_BODIES = [
    {"UserCommand": {"OnStart": {"Content": f"export TOKEN={PASSWORD}"}}},
    {"Labels": [{"Key": "db-password", "Value": PASSWORD}]},
    {"Labels": [{"Key": "API_KEY", "Value": PASSWORD}]},
    {"EnvironmentVariables": {"A": PASSWORD}},
    {"Whatever": [{"dbPassword": PASSWORD}]},
    {"Datasets": [{"Uri": f"https://user:{PASSWORD}@bucket.example/a"}]},
]


@pytest.mark.parametrize("given", SECRET_BODIES, ids=str)
def test_a_body_is_rendered_without_its_secrets(given: dict[str, Any]) -> None:
    task = DswCreateInstanceOperator(task_id="a", body={**BODY, **given})

    task.render_template_fields({})

    assert PASSWORD not in str(task.body)
    assert task.body["InstanceName"] == "a"


def test_a_label_that_only_speaks_of_a_token_is_shown() -> None:
    labels = [{"Key": "stsTokenOwner", "Value": "123"}, {"Key": "team", "Value": "a"}]

    assert redact_body({"Labels": labels}) == {"Labels": labels}


@pytest.mark.parametrize("given", SECRET_BODIES[:5], ids=str)
def test_a_refusal_does_not_echo_what_is_secret_of_the_body(
    given: dict[str, Any], dsw_default: DswEmulator, no_pauses: None
) -> None:
    said = f"Bad value export TOKEN={PASSWORD}"
    dsw_default.fault("CreateInstance", times=None, status=400, code="ValidationError", message=said)

    with pytest.raises(DswOperationFailedError, match="Bad value") as raised:
        DswCreateInstanceOperator(task_id="a", body={**BODY, **given}).execute(task_runs.context())

    assert PASSWORD not in f"{raised.value} {raised.value.message}"


# What is kept between polls


def test_no_trigger_row_holds_a_text_of_the_service() -> None:
    snapshot = {"GmtCreateTime": "2026-01-31T08:00:00Z", "ImageUrl": "https://a:b@registry/a", "ImageName": "\0said"}
    instance = {"Status": "said", "GmtModifiedTime": "2026-01-31T08:00:00Z\0", "ReasonMessage": "said"}

    kept = str(Baseline.of({**instance, "LatestSnapshot": snapshot}))

    assert "said" not in kept
    assert "registry" not in kept
    assert "\\x00" not in kept


def test_a_state_with_an_unknown_status_is_known_again() -> None:
    instance = {"Status": "Unheard\0", "GmtModifiedTime": "2026-01-31T08:00:00Z"}

    assert Baseline.of(instance).is_stale(instance)
    assert not Baseline.of(instance).is_stale({**instance, "Status": "Unheard2"})


def test_a_watcher_remembers_an_unknown_status_in_a_form_that_can_be_stored() -> None:
    condition = StatusCondition(ID)
    seen, _ = detect_transitions(condition, PollResult({"Status": "\0\ud800said"}), None)

    assert "said" not in str(seen)
    assert detect_transitions(condition, PollResult({"Status": "\0\ud800said"}), seen) == (seen, [])
    assert detect_transitions(condition, PollResult({"Status": "Running"}), seen)[1] != []


# What can't be asked for


@pytest.mark.parametrize("given", ["../..", "a\n", 7, ["a"], "", None])
def test_an_answer_without_an_id_that_can_be_asked_for_is_none(given: Any) -> None:
    assert api.create_instance(BODY).check({"InstanceId": given})
    of_snapshot = api.create_instance_snapshot(ID, "a", "registry/a:1", None, None, None, None)
    assert of_snapshot.check({"SnapshotId": given})


@pytest.mark.parametrize("labels", [5, "airflow-task", {"Key": "a", "Value": "b"}, [None, 5], True])
def test_labels_of_another_shape_are_not_the_label(labels: Any) -> None:
    assert with_label([{"Labels": labels}], "a", "b") == []


def test_the_connection_test_says_the_number_on_one_line(dsw_default: DswEmulator) -> None:
    dsw_default.fault("ListInstances", body=b'{"Instances": [], "TotalCount": "1\\n\\u001b[31mforged"}')

    works, words = DswHook().test_connection()

    assert works
    assert words.isprintable()


def test_a_status_that_http_has_not_is_none() -> None:
    outcome = outcome_of(200, {}, {"Success": False, "Code": "A", "HttpStatusCode": 10**390})

    assert isinstance(outcome, Failure)
    assert outcome.status is None


@pytest.mark.parametrize("name", ["Code", "Message", "RequestId"])
def test_a_refusal_in_another_shape_is_an_error_like_any_other(
    name: str, dsw_default: DswEmulator, no_pauses: None
) -> None:
    said = f'{{"Code": "A", "Message": "B", "{name}": {"[" * 900}{"]" * 900}}}'
    dsw_default.fault("GetInstance", times=None, status=400, body=said.encode())

    with pytest.raises(DswError) as raised:
        DswInstanceSensor(task_id="a", instance_id=ID).execute(task_runs.context())

    assert "[[" not in str(raised.value)
