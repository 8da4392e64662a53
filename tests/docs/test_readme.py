"""Every snippet of the README and its pages runs, and does what they say."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_dsw.client import connection as connections
from airflow_provider_dsw.client import connection_fields
from airflow_provider_dsw.details import DEFAULT_FIELDS
from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.cli import __main__ as cli
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.waits.statuses import default_failure_statuses
from tests.docs.conftest import RunDag
from tests.docs.readme import LANGUAGES, README, ROOT, TEXT, block, blocks, codes, rows, section
from tests.docs.test_run import EXAMPLES

INSTANCE = "dsw-730abc"
# What tells each snippet apart. One that is not here is not tested.
PYTHON = [
    "def train()",
    "def nightly()",
    "def ephemeral()",
    "def publish()",
    'DAG("reachable"',
    'DAG("describe"',
    "AssetWatcher(",
    "running = [",
    "def start_by_name()",
    "ListEcsSpecsRequest(",
    "def test_",
]
BASH = [
    "dsw-emulator run example_dags/",
    "&& pytest",
    "AIRFLOW_CONN_DSW_DEFAULT='{",
    "AIRFLOW_CONN_DSW_DEFAULT='dsw:",
    "airflow connections add",
    "dsw-emulator run my_dag.py",
    "dsw-emulator serve",
    "dsw-emulator standalone",
    "pip wheel",
]
# The RAM policies.
JSON = [READING, WRITING, WHOLE_LIFE] = ['"paidsw:GetInstance"', '"paidsw:StartInstance"', '"paidsw:DeleteInstance"']


@pytest.mark.parametrize(("language", "marks"), [("python", PYTHON), ("bash", BASH), ("json", JSON)])
def test_every_snippet_is_known_here(language: str, marks: list[str]) -> None:
    for text in blocks(language):
        known = [mark for mark in marks if mark in text]
        assert len(known) == 1, (
            f"{language.upper()} in tests/docs/test_readme.py lacks a mark for, and a test of:\n{text}"
        )
    assert sorted(block(language, mark) for mark in marks) == sorted(blocks(language))


def test_there_are_snippets_in_no_other_language() -> None:
    assert {"python", "bash", "json"} == LANGUAGES, "add another one to test_every_snippet_is_known_here, and test it"


# Python


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    return tmp_path / "dag_of_the_readme.py"


def allow(emulator: DswEmulator, *policies: str) -> None:
    """Let the connection's key do what these policies allow, and nothing else."""
    allowed = [action for policy in policies for action in actions(policy)]
    for key_id, secret in list(emulator.credentials.items()):
        emulator.add_credential(key_id, str(secret), allowed=allowed)


def test_the_wait_for_an_instance(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", "def train()"))
    allow(dsw_default, READING)
    dsw_default.add_instance(INSTANCE, per_poll=["Starting", "Running"])

    returned = run_dag(dag_file)

    assert returned["use"].endswith("/lab/")
    for name in ("InstanceId", "Status", "JupyterlabUrl", "WebIDEUrl", "ImageUrl", "EcsSpec"):
        assert f"`{name}`" in section("Wait for an instance")
        assert returned["wait_for_running"][name]


def test_the_pipeline(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", "def nightly()"))
    allow(dsw_default, READING, WRITING)
    dsw_default.add_instance(INSTANCE, "Stopped")
    dsw_default.start_timeline = ["Starting", "Running"]
    dsw_default.snapshot_timeline = ["Pushing", "Saved"]
    dsw_default.stop_timeline = ["Stopping", "Stopped"]

    returned = run_dag(dag_file)

    assert (returned["start"]["Status"], returned["stop"]["Status"]) == ("Running", "Stopped")
    for name in ("SnapshotId", "ImageId", "ImageUrl"):
        assert f"`{name}`" in section("Pipelines")
        assert returned["snapshot"][name]


def test_the_instance_that_lives_as_long_as_the_work(
    run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_SERVICE", '{"conn_type": "http", "password": "of-my-service"}')
    dag_file.write_text(block("python", "def ephemeral()"))
    allow(dsw_default, READING, WRITING, WHOLE_LIFE)
    dsw_default.start_timeline = ["Creating", "Running"]
    dsw_default.delete_timeline = ["Deleting", None]

    returned = run_dag(dag_file)

    (sent,) = dsw_default.calls("CreateInstance")
    assert "of-my-service" in sent.body
    assert returned["create"]["Status"] == "Running"
    assert returned["delete"]["InstanceId"] == returned["create"]["InstanceId"]
    assert set(dsw_default.statuses().values()) == {None}


def test_the_wait_for_a_snapshot(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", "def publish()"))
    dsw_default.add_instance(INSTANCE)

    def push(request: Any) -> None:
        if len(dsw_default.calls("GetInstance")) == 2:
            dsw_default.add_snapshot(INSTANCE, image_url="registry/new:1", per_poll=["Pushing", "Saved"])

    dsw_default.on_request = push

    assert run_dag(dag_file)["use"] == "registry/new:1"


def test_the_wait_for_an_expression(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", 'DAG("reachable"'))
    dsw_default.add_instance(INSTANCE, UserVpc={})

    def forward(_: Any) -> None:
        if len(dsw_default.calls("GetInstance")) == 2:
            ready = {"Name": "ssh", "ConnectInfo": {"Phase": "Ready"}}
            dsw_default.set_instance(INSTANCE, UserVpc={"ForwardInfos": [ready]})

    dsw_default.on_request = forward

    assert run_dag(dag_file)["wait_for_ssh"]["InstanceId"] == INSTANCE
    assert len(dsw_default.calls("GetInstance")) == 3


def test_details_are_handed_on(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", 'DAG("describe"'))
    dsw_default.add_instance(INSTANCE, CloudDisks=[{"Capacity": "50Gi"}])

    assert run_dag(dag_file) == {"describe": {"status": "Running", "disk": "50Gi"}}


def test_an_asset_has_an_event_when_the_instance_stops(
    run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator
) -> None:
    dag_file.write_text(block("python", "AssetWatcher("))
    dsw_default.add_instance(INSTANCE, per_poll=["Running", "Stopping", "Stopped"])
    namespace: dict[str, Any] = {}
    exec(dag_file.read_text(), namespace)
    trigger = namespace["stopped"].watchers[0].trigger
    trigger.poke_interval = 0.05

    async def first_event() -> Any:
        async with aclosing(trigger.run()) as events:
            return await anext(events)

    assert asyncio.run(first_event()).payload["Status"] == "Stopped"
    assert run_dag(dag_file) == {"report": None}


def test_the_hook_in_own_code(dsw_default: DswEmulator) -> None:
    dsw_default.add_instance(INSTANCE)
    dsw_default.add_instance("dsw-other", "Stopped")
    namespace: dict[str, Any] = {}

    exec(block("python", "running = ["), namespace)

    assert (namespace["status"], namespace["running"]) == ("Running", [INSTANCE])


def test_an_instance_is_found_by_its_whole_name(run_dag: RunDag, dag_file: Path, dsw_default: DswEmulator) -> None:
    dag_file.write_text(block("python", "def start_by_name()"))
    for instance_id, name, resource_id in (
        ("dsw-other", "training_data_2", ""),
        ("dsw-on-a-quota", "training_data", "quota-1"),
    ):
        dsw_default.add_instance(instance_id, "Stopped", InstanceName=name, ResourceId=resource_id, WorkspaceId="2")
    dsw_default.start_timeline = ["Starting", "Running"]

    returned = run_dag(dag_file)

    assert returned["find"] == returned["start"]["InstanceId"] == "dsw-on-a-quota"
    assert dsw_default.status("dsw-other") == "Stopped"


def test_prices_and_stock_by_the_sdk_s_client(dsw_default: DswEmulator) -> None:
    namespace: dict[str, Any] = {}

    exec(block("python", "ListEcsSpecsRequest("), namespace)

    assert not hasattr(DswHook, "list_ecs_specs"), "choose an operation for which the hook has no method"
    assert namespace["cheapest"] == "ecs.gn6i-c4g1.xlarge"


def test_the_test_with_the_emulator(monkeypatch: pytest.MonkeyPatch, no_pauses: None) -> None:
    namespace: dict[str, Any] = {}
    exec(block("python", "def test_"), namespace)
    (test,) = [value for name, value in namespace.items() if name.startswith("test_")]

    test(monkeypatch)


# The commands


def dsw_emulator_part(text: str) -> list[str]:
    return shlex.split(text[text.index("dsw-emulator ") :])[1:]


@pytest.mark.parametrize("mark", ["dsw-emulator run example_dags/", "dsw-emulator run my_dag.py", "dsw-emulator serve"])
def test_the_command_takes_these_options(mark: str) -> None:
    arguments = cli.build_parser().parse_args(dsw_emulator_part(block("bash", mark)))

    if "example_dags" in mark:
        assert (ROOT / arguments.dag_file).is_file()
    else:
        ((instance_id, steps),) = arguments.instances
        assert (instance_id, steps[-1]) == (INSTANCE, ("Running", None))


def test_what_pip_is_told_to_install_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    for mark in ("dsw-emulator run example_dags/", "&& pytest"):
        steps = [shlex.split(step) for step in block("bash", mark).split("&&")]
        (pip,) = [step for step in steps if step[0] == "pip"]
        assert pip[-1].removeprefix(".[").removesuffix("]") in extras
        assert steps[0] == ["python3", "-m", "venv", ".venv"]


def test_the_wheel_that_is_installed_is_the_one_that_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    build, install = block("bash", "pip wheel").strip().split(" && ")
    *pip, airflow, wheel = shlex.split(install)

    assert (build, pip) == ("pip wheel --no-deps .", ["pip", "install"])
    assert wheel == f"./{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"
    assert airflow.startswith("apache-airflow==")


def test_the_first_command_runs_an_example() -> None:
    """Each of which runs in a test of its own."""
    command, path = dsw_emulator_part(block("bash", "dsw-emulator run example_dags/"))

    assert (command, Path(path).parent, Path(path).stem in EXAMPLES) == ("run", Path("example_dags"), True)


# The connection


def exported(mark: str) -> str:
    _, assignment = shlex.split(block("bash", mark))
    return assignment.removeprefix("AIRFLOW_CONN_DSW_DEFAULT=")


@pytest.fixture(scope="module")
def as_json() -> connections.DswConnection:
    return connections.parse(Connection.from_json(exported("='{"), conn_id="dsw_default"))


def test_the_connection_is_what_it_says(as_json: connections.DswConnection) -> None:
    assert as_json.endpoint == "pai-dsw.cn-hangzhou.aliyuncs.com"
    assert as_json.credentials == {"access_key_id": "my-key-id", "access_key_secret": "my-key-secret"}


def test_the_uri_gives_the_same_connection(as_json: connections.DswConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", exported("='dsw:"))

    assert connections.parse(Connection.get("dsw_default")) == as_json


def test_the_ui_gives_the_same_connection(as_json: connections.DswConnection) -> None:
    labels = connection_fields.field_behaviour()["relabeling"] | {
        name: field["label"] for name, field in connection_fields.form_fields().items()
    }
    assert f'"{connection_fields.HOOK_NAME}": {labels["login"]}, {labels["password"]} and {labels["region"]}.' in TEXT
    extra = {name: field["schema"].get("default") for name, field in connection_fields.form_fields().items()}
    filled_in = Connection(
        conn_id="dsw_default",
        conn_type="dsw",
        login="my-key-id",
        password="my-key-secret",
        extra=json.dumps(extra | {"region": "cn-hangzhou"}),
    )

    assert connections.parse(filled_in) == as_json


def test_each_auth_type_needs_and_takes_what_the_table_says() -> None:
    names = {"access_key_id": "login", "access_key_secret": "password"}

    def cell(of: tuple[str, ...]) -> list[str]:
        return [names.get(name, f"`{name}`") for name in of]

    table = {
        kind.strip("`"): [[*filter(None, cell.split(", "))] for cell in (needs, takes)]
        for kind, _, needs, takes in rows(section("Credentials"))[2:]
    }

    assert table == {
        name: [cell(needed), cell(connection_fields.OPTIONAL_FIELDS.get(name, ()))]
        for name, needed in connection_fields.REQUIRED_FIELDS.items()
    }, "the table of Credentials in .github/docs/connection.md"


def test_the_table_of_fields_has_each_that_belongs_to_no_auth_type() -> None:
    named = {name for field, _ in rows(section("Fields")) if field.startswith("extra ") for name in codes(field)}
    of_types = {
        name
        for table in (connection_fields.REQUIRED_FIELDS, connection_fields.OPTIONAL_FIELDS)
        for fields in table.values()
        for name in fields
    }

    assert named >= {*connection_fields.form_fields()} - of_types


@pytest.mark.slow
def test_the_command_line_gives_the_same_connection(
    as_json: connections.DswConnection, airflow_db: None, tmp_path: Path
) -> None:
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")) as made:
        made.execute("VACUUM INTO ?", [str(database)])
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__CORE__FERNET_KEY": "",  # stored readably: the key of another home is not known here
    }
    name, *arguments = shlex.split(block("bash", "airflow connections add"))
    assert name == "airflow"

    ended = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], env=environment, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stderr
    assert connections.parse(stored(database)) == as_json


def stored(database: Path) -> Any:
    from airflow.models import Connection as StoredConnection
    from sqlalchemy import create_engine, select
    from sqlalchemy.orm import Session

    with Session(create_engine(f"sqlite:///{database}")) as session:
        return session.scalars(select(StoredConnection).where(StoredConnection.conn_id == "dsw_default")).one()


def actions(mark: str) -> list[str]:
    (statement,) = json.loads(block("json", mark))["Statement"]
    allowed: list[str] = statement["Action"]
    return allowed


def test_the_policies_allow_what_the_hook_calls() -> None:
    calls = (ROOT / "airflow_provider_dsw/client/api.py").read_text()
    called = {f"paidsw:{name}" for name in re.findall(r'Request\(\s*"(\w+)"', calls)}
    # To create has two RAM actions, by how the instance is paid for.
    called |= {"paidsw:CreatePostPaidInstance", "paidsw:CreatePrePaidInstance"}

    reading, writing, whole_life = map(actions, JSON)
    assert {*reading, *writing, *whole_life} == called, "the policies in .github/docs/connection.md"
    read = ("GetInstance", "GetInstanceSnapshot", "GetInstanceEvents", "GetLifecycle", "ListInstances")
    assert reading == [f"paidsw:{name}" for name in read], (
        "what a wait and the connection test call; whatever else reads stands in another policy"
    )


# The tables


def test_the_failure_statuses_are_those_of_the_code() -> None:
    table = {
        target: {*codes(statuses)} for target, statuses in rows(section("What a wait does")) if "`Deleting`" in statuses
    }

    assert table == {
        "`Running`": default_failure_statuses(["Running"]),
        "`Saved`, or a snapshot": default_failure_statuses(["Saved"]),
        "any other": default_failure_statuses(["Stopped"]),
    }, "the names of rows stand in this test too"


def test_the_default_details_that_are_named_exist() -> None:
    assert {"Status", "EcsSpec", "JupyterlabUrl", "WebIDEUrl", "ImageUrl"} <= set(DEFAULT_FIELDS)


def test_files_that_are_named_exist() -> None:
    assert "`airflow_provider_dsw/waits/assumptions.py`" in TEXT
    assert (ROOT / "airflow_provider_dsw/waits/assumptions.py").exists()


def test_the_readme_is_a_front_door() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 250, (
        "README.md is too long: let arguments share a row, or move a section, or a class's table of arguments, to a "
        "page in .github/docs/, and link to it; the tests read the tables of every page"
    )
    assert lines[0] == "# airflow-provider-dsw"
