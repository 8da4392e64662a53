"""No secret leaves a DAG run: not in what it prints and logs, nor in what it stores."""

from __future__ import annotations

import json
import logging
import os
import textwrap
from pathlib import Path
from secrets import token_hex

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.version_compat import dag_bag_class, serialize_dags
from tests.support import leaks

DAG = """
    import os
    from airflow.sdk import DAG, task
    from airflow_provider_dsw.hooks.dsw import DswHook
    from airflow_provider_dsw.operators.dsw import DswCreateInstanceOperator, DswGetInstanceOperator
    from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

    with DAG("uses_secrets", user_defined_macros={"of_body": lambda: os.environ["OF_BODY"]}):
        for deferrable in (False, True):
            for end in ("good", "bad"):
                DswInstanceSensor(
                    task_id=f"{end}_{deferrable}", instance_id=f"dsw-{end}-{deferrable}", poke_interval=0.05,
                    deferrable=deferrable, dsw_conn_id="environed",
                )
        for name in ("wrong", "expired", "denied"):
            DswInstanceSensor(task_id=f"bad_{name}", instance_id="dsw-good", dsw_conn_id=name)
        DswInstanceSensor(task_id="bad_echo", instance_id="dsw-echo", dsw_conn_id="environed")
        DswGetInstanceOperator(
            task_id="good_details", instance_id="dsw-good", fields={"all": "@"}, dsw_conn_id="environed"
        )

        DswCreateInstanceOperator(
            task_id="good_creation",
            body={
                "InstanceName": "a", "EcsSpec": "ecs.g6.xlarge", "ImageUrl": "registry/a:1",
                "EnvironmentVariables": {"NAME": "{{ of_body() }}"},
            },
            poke_interval=0.05, dsw_conn_id="environed",
        )

        @task
        def good_code():
            return DswHook("environed").get_instance("dsw-good", token=os.environ["SHARING_TOKEN"])["Status"]

        @task
        def bad_code():
            DswHook("environed").get_instance("dsw-nowhere", token=os.environ["SHARING_TOKEN"])

        good_code()
        bad_code()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("no_pauses")
def test_no_secret_is_found_in_what_a_dag_run_says_and_stores(
    emulator: DswEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from airflow.utils.db import initdb

    known = leaks.new_secrets()
    leaks.teach(emulator, known)
    for name in leaks.CONNECTIONS:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(leaks.connection(emulator, known, name)))
    monkeypatch.setenv("SHARING_TOKEN", known["sharing_token"])
    known["of_body"] = token_hex(20)
    monkeypatch.setenv("OF_BODY", known["of_body"])
    emulator.start_timeline = ["Creating", "Running"]
    emulator.add_instance("dsw-good")
    for deferrable in (False, True):
        emulator.add_instance(f"dsw-good-{deferrable}", per_poll=["Starting", "Running"])
        emulator.add_instance(f"dsw-bad-{deferrable}", per_poll=["Starting", "Failed"])
    emulator.fault(
        "GetInstance",
        "dsw-echo",
        None,
        status=503,
        code="ServiceUnavailable",
        message=f"{known['key']} {known['token']}",
    )
    (tmp_path / "uses_secrets.py").write_text(textwrap.dedent(DAG))
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path))
    initdb()
    serialize_dags()
    with caplog.at_level(logging.DEBUG):
        run = dag_bag_class()(str(tmp_path)).dags["uses_secrets"].test()

    out, err = capfd.readouterr()
    home = Path(os.environ["AIRFLOW_HOME"])
    stored = [*leaks.files(home), *leaks.rows(home / "airflow.db")]
    states = {ti.task_id: ti.state for ti in run.get_task_instances()}
    assert states == {name: "success" if name.startswith("good") else "failed" for name in states}
    assert any("dsw-good-True" in row for _, row in stored)
    assert any(place == "table rendered_task_instance_fields" and "NAME" in row for place, row in stored)
    (created,) = emulator.calls("CreateInstance")
    assert known["of_body"] in created.body
    said = [("stdout", out), ("stderr", err), ("log", caplog.text)]
    assert leaks.leaks(known, [*said, *stored]) == set()
