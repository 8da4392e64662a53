"""The body that an operator sends: what is secret in it is nowhere but on its way to the service."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from airflow.sdk import DAG

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.exceptions import DswWaitArgumentError
from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator
from tests.support.arguments import required_by
from tests.support.task_runs import context, run
from tests.unit.operators.conftest import ID, Make

SECRET, KEY, LOGIN = "the-secret-word", "the-role-key", "dXNlcjp3b3Jk"
SECRETS = {
    "EnvironmentVariables": {"TOKEN": SECRET},
    "CredentialConfig": {"AliyunEnvRoleKey": KEY},
    "ImageAuth": LOGIN,
    "Datasets": [{"DatasetId": "d-1", "Options": f'{{"password": "{SECRET}"}}'}],
    "UserVpc": {"ForwardInfos": [{"Name": "ssh", "SSHPublicKey": f"ssh-rsa {SECRET}"}]},
}


class Body(NamedTuple):
    """
    What an operator that takes a body sends.

    :param body: one that it takes; secrets are added to it.
    :param action: what it requests with the body, under the API's name.
    :param status: the instance's before; None: there is none.
    """

    body: dict[str, Any]
    action: str
    status: str | None


BODIES: dict[type[Any], Body] = {
    DswCreateInstanceOperator: Body({"EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1"}, "CreateInstance", None),
}
HOW = "a DswBaseOperator masks what is named in template_fields as body, and sends self._body (operators/body.py)"
each = pytest.mark.parametrize("operator", BODIES, ids=lambda operator: operator.__name__)


def template(operator: type[Any]) -> dict[str, Any]:
    return {**BODIES[operator].body, **SECRETS, "InstanceName": "{{ params.name }}"}


def shown(value: object) -> list[str]:
    return [secret for secret in (SECRET, KEY, LOGIN) if secret in json.dumps(value)]


@each
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_secret_members_are_masked_in_what_airflow_stores_and_sent_all_the_same(
    operator: type[Any], twice: bool, make: Make, dsw_default: DswEmulator
) -> None:
    row = BODIES[operator]
    if row.status is not None:
        dsw_default.add_instance(ID, row.status)
    task = make(operator, body=template(operator))
    for _ in range(2 if twice else 1):
        task.render_template_fields({"params": {"name": "rendered"}})

    stored = {name: getattr(task, name) for name in task.template_fields}
    assert shown(stored) == [], f"{operator.__name__} stores them; {HOW}"
    assert stored["body"]["InstanceName"] == "rendered"
    assert stored["body"]["Datasets"][0]["DatasetId"] == "d-1"

    assert shown(run(task, context())) == []
    sent = json.loads(dsw_default.calls(row.action)[0].body)
    assert {name: sent.get(name) for name in SECRETS} == SECRETS, f"{operator.__name__} sends others; {HOW}"
    assert sent["InstanceName"] == "rendered"
    assert {SECRET, KEY, LOGIN} <= {*task.secrets}  # which the history of an instance may show
    assert shown(task.body) == []


@each
def test_so_they_are_for_mapped_tasks(operator: type[Any]) -> None:
    body, needed = template(operator), {name: ID for name in required_by(operator) if name == "instance_id"}
    with DAG("mapped"):
        mapped = operator.partial(task_id="t", **needed).expand(body=[body])
    unmapped: Any = mapped.unmap({"body": body})
    unmapped._do_render_template_fields(
        parent=unmapped,
        template_fields=mapped.template_fields,
        context={"params": {"name": "rendered"}},
        jinja_env=mapped.get_template_env(),
        seen_oids=set(),
    )

    assert unmapped.body["EnvironmentVariables"] == {"TOKEN": "***"}


@each
def test_what_is_rendered_to_no_body_is_refused(operator: type[Any], make: Make, dsw_default: DswEmulator) -> None:
    task = make(operator, body="{{ params.body }}")
    task.render_template_fields({"params": {"body": "a string"}})

    with pytest.raises(DswWaitArgumentError, match=r"^body: "):
        task.execute(context())
    assert dsw_default.requests == []
