"""Which details go on to the next task, and which values never do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_dsw.emulator import SAMPLE_SECRET, DswEmulator
from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator

ID = "dsw-abc"
SECRET_FIELDS = ("CredentialConfig", "ImageAuth", "EnvironmentVariables", "ServiceConfig")


def details(**arguments: Any) -> dict[str, Any]:
    return DswGetInstanceOperator(task_id="details", instance_id=ID, **arguments).execute({})


def test_named_fields_are_pushed_and_an_absent_one_as_none(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID, omit=["Driver"])
    assert details(fields=["Status", "Driver"]) == {"Status": "Running", "Driver": None}


def test_jmespath_reaches_into_the_answer(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID)
    assert details(fields={"disk": "CloudDisks[0].Capacity"}) == {"disk": "30Gi"}


def test_secret_values_are_replaced_and_their_shape_stays(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID)
    found = details(fields=[*SECRET_FIELDS, "UserVpc", "Datasets"])
    assert SAMPLE_SECRET not in str(found)
    assert found["ImageAuth"] == "***"
    assert set(found["ServiceConfig"].values()) == {"***"}
    assert found["UserVpc"]["ForwardInfos"][0]["SSHPublicKey"] == "***"
    assert found["UserVpc"]["ForwardInfos"][0]["Enable"] is True
    assert found["Datasets"][0]["Options"] == "***"


def test_secret_values_stay_where_the_author_asks_for_them(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(ID)
    assert SAMPLE_SECRET in str(details(fields=list(SECRET_FIELDS), include_sensitive=True))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([], "empty"),
        ({}, "empty"),
        ([""], "no name"),
        (["Statsu"], "Did you mean 'Status'"),
        ({"disk": "CloudDisks[0"}, "not JMESPath"),
        ({"disk": ""}, "no JMESPath"),
        ("Status", "neither a list"),
        ({"return_value": "Status"}, "return_value"),
    ],
)
def test_wrong_fields_are_refused_where_the_dag_is_parsed(fields: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DswGetInstanceOperator(task_id="details", instance_id=ID, fields=copy.copy(fields))
