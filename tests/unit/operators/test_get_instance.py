"""The details operator: what it pushes, in `execute` and in a real DAG run, and what it refuses."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dsw.emulator import SAMPLE_SECRET, DswEmulator
from airflow_provider_dsw.exceptions import DswTransientError, DswWaitArgumentError, DswWaitFailedError
from airflow_provider_dsw.links.dsw import DSW_LINKS
from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.version_compat import dag_bag_class, serialize_dags

ID = "dsw-abc"


def details(**arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = DswGetInstanceOperator(**{"task_id": "t", "instance_id": ID, **arguments}).execute({})
    return found


def test_by_default_the_default_details_are_pushed(dsw_default):
    dsw_default.add_instance(ID, omit=["WebIDEUrl"])

    found = details()

    assert (found["InstanceId"], found["Status"]) == (ID, "Running")
    assert found["RequestId"]
    assert "WebIDEUrl" not in found  # what the answer lacks is not invented
    assert "EnvironmentVariables" not in found
    assert len(dsw_default.requests) == 1


def test_named_fields_are_pushed_and_an_absent_one_as_none(dsw_default):
    dsw_default.add_instance(ID, omit=["Driver"])

    assert details(fields=["Status", "Driver"]) == {"Status": "Running", "Driver": None}


def test_expressions_are_pushed_under_their_names(dsw_default):
    dsw_default.add_instance(ID)

    assert details(fields={"disk": "CloudDisks[0].Capacity", "gone": "No.Such"}) == {"disk": "30Gi", "gone": None}


def test_a_mistyped_field_of_an_expression_is_a_warning(dsw_default, mocker):
    dsw_default.add_instance(ID)
    operator = DswGetInstanceOperator(task_id="t", instance_id=ID, fields={"status": "Statu"})
    warning = mocker.patch.object(operator.log, "warning")

    assert operator.execute({}) == {"status": None}
    assert "Did you mean 'Status'?" in warning.call_args.args[0]


SECRET_FIELDS = ["CredentialConfig", "ImageAuth", "EnvironmentVariables", "ServiceConfig", "UserVpc", "Datasets"]


def test_secrets_are_replaced_unless_the_author_asks_for_them(dsw_default):
    dsw_default.add_instance(ID)

    assert SAMPLE_SECRET not in json.dumps(details(fields=SECRET_FIELDS))
    assert SAMPLE_SECRET not in json.dumps(details(fields={"all": "@"}))
    assert SAMPLE_SECRET in json.dumps(details(fields=SECRET_FIELDS, include_sensitive=True))


def test_connection_and_region_are_those_that_are_given(dsw_default, monkeypatch):
    dsw_default.add_instance(ID)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(dsw_default.connection()))
    monkeypatch.delenv("AIRFLOW_CONN_DSW_DEFAULT")
    operator = DswGetInstanceOperator(task_id="t", instance_id=ID, dsw_conn_id="other", region="cn-beijing")

    assert operator.execute({})["InstanceId"] == ID
    assert operator.hook.connection.region == "cn-beijing"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 404, "code": "InternalError"}, DswWaitFailedError),
        ({"status": 403, "code": "NoPermission"}, DswWaitFailedError),
        ({"status": 503}, DswTransientError),
    ],
)
@pytest.mark.usefixtures("no_pauses")
def test_only_an_error_that_a_retry_may_mend_leaves_the_task_its_retries(fault, error, dsw_default):
    dsw_default.fault(times=None, **fault)

    with pytest.raises(error):
        details()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"instance_id": ""}, "instance_id: '' is not a valid id"),
        ({"instance_id": None}, "instance_id: None is not a valid id"),
        ({"instance_id": 7}, "instance_id: 7 is not a valid id"),
        ({"instance_id": "a/b"}, "instance_id: 'a/b' is not a valid id"),
        ({"fields": []}, "fields: empty. Leave it out"),
        ({"fields": {}}, "fields: empty"),
        ({"fields": [""]}, "fields: '' is not a name"),
        ({"fields": {"": "Status"}}, "fields: '' is not a name"),
        ({"fields": "Status"}, "neither a list of field names nor a dict"),
        ({"fields": ["Statsu"]}, "Did you mean 'Status'?"),
        ({"fields": {"disk": "CloudDisks[0"}}, "is not valid JMESPath"),
        ({"fields": {"return_value": "Status"}}, "'return_value' is the key"),
    ],
)
def test_what_can_t_work_is_refused_where_the_dag_is_parsed(arguments, words):
    with pytest.raises(ValueError, match=r"^Task 't': (fields|instance_id)") as raised:
        DswGetInstanceOperator(**{"task_id": "t", "instance_id": ID, **arguments})

    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "pushed"),
    [
        ({}, False),
        ({"fields": ["Status"]}, True),
        ({"fields": {"disk": "CloudDisks[0].Capacity"}}, True),
        ({"multiple_outputs": True}, True),
        ({"fields": ["Status"], "multiple_outputs": False}, False),
    ],
)
def test_each_chosen_field_is_an_xcom_of_its_own(arguments, pushed):
    assert DswGetInstanceOperator(task_id="t", instance_id=ID, **arguments).multiple_outputs is pushed


def test_a_templated_id_is_checked_when_it_is_rendered(dsw_default):
    operator = DswGetInstanceOperator(task_id="t", instance_id="{{ params.id }}")
    operator.instance_id = ""

    with pytest.raises(ValueError, match="instance_id: '' is not a valid id"):
        operator.execute({})

    assert dsw_default.requests == []


def test_what_a_dag_author_may_template_is_rendered():
    operator = DswGetInstanceOperator(
        task_id="t", instance_id="{{ i }}", dsw_conn_id="{{ c }}", region="{{ r }}", fields=["Status"]
    )
    operator.render_template_fields({"i": ID, "c": "other", "r": "cn-beijing"})  # type: ignore[typeddict-unknown-key]

    assert (operator.instance_id, operator.dsw_conn_id, operator.region) == (ID, "other", "cn-beijing")


DAG = """
    from airflow.sdk import DAG, task
    from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator

    with DAG("details", params={"instance": "dsw-abc"}):
        names = DswGetInstanceOperator(
            task_id="names", instance_id="{{ params.instance }}", fields=["Status", "Driver", "ImageAuth"]
        )
        paths = DswGetInstanceOperator(
            task_id="paths", instance_id="dsw-abc",
            fields={"disk": "CloudDisks[0].Capacity", "labels": "Labels"},
        )

        @task
        def use(disk, whole):
            return [disk, whole]

        use(paths.output["disk"], names.output)
"""


@pytest.mark.slow
def test_in_a_dag_run_each_detail_is_an_xcom_of_its_own(
    dsw_default: DswEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dsw_default.add_instance(ID, omit=["Driver"], Labels=[{"Key": "a", "Value": "b"}])
    (tmp_path / "details.py").write_text(textwrap.dedent(DAG))
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path))  # dag.test() runs nothing from elsewhere
    initdb()
    serialize_dags()
    bag = dag_bag_class()(str(tmp_path))
    assert bag.import_errors == {}

    run = bag.dags["details"].test()

    assert run.state == "success"
    with create_session() as session:
        rows = session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)).all()
        pushed = {(row.task_id, row.key): XComModel.deserialize_value(row) for row in rows}
    names = {"Status": "Running", "Driver": None, "ImageAuth": "***"}
    links = {link.xcom_key for link in DSW_LINKS}
    assert {pushed.pop(("names", key)) for key in links} == {pushed.pop(("paths", key)) for key in links}
    assert pushed == {
        **{("names", key): value for key, value in names.items()},
        ("names", "return_value"): names,
        ("paths", "disk"): "30Gi",
        ("paths", "labels"): [{"Key": "a", "Value": "b"}],
        ("paths", "return_value"): {"disk": "30Gi", "labels": [{"Key": "a", "Value": "b"}]},
        ("use", "return_value"): ["30Gi", names],
    }


def test_an_id_that_is_rendered_to_none_is_an_argument_error(dsw_default):
    operator = DswGetInstanceOperator(task_id="t", instance_id="{{ none }}")
    operator.instance_id = "None"

    with pytest.raises(DswWaitArgumentError, match="instance_id"):
        operator.execute({})
    assert not dsw_default.requests
