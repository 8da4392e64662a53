"""Differences between Airflow versions stand in one module, and each of them is needed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import BaseEventTrigger, BaseTrigger

import airflow_provider_dsw
from airflow_provider_dsw import version_compat
from airflow_provider_dsw.triggers.dsw import DswInstanceEventTrigger, DswInstanceTrigger

PACKAGE = Path(airflow_provider_dsw.__file__).parent
REPOSITORY = Path(__file__).parents[2]
OTHERS = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "version_compat.py"]


def branches_on_airflow(source: str) -> list[str]:
    """Where a module asks which Airflow is installed, by its version or by what it has."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="hasattr" | "find_spec") | ast.Attribute(attr="find_spec")):
                found.append(node)
            case ast.ImportFrom(module=str(module)) if module.startswith("airflow.providers.common.compat"):
                found.append(node)
            case ast.ImportFrom(module="airflow", names=names) if any(name.name == "__version__" for name in names):
                found.append(node)
            case ast.Attribute(value=ast.Name(id="airflow"), attr="__version__"):
                found.append(node)
            case ast.Try(body=body, handlers=handlers) if any(map(_imports_airflow, body)):
                found += [handler for handler in handlers if handler.type is None or "Import" in ast.dump(handler.type)]
    return [ast.unparse(node).splitlines()[0] for node in found]


def _imports_airflow(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom)) and bool(re.search(r"\bairflow(\.|\b)", ast.unparse(node)))


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_asks_which_airflow_is_installed(path: Path):
    assert branches_on_airflow(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "if hasattr(BaseXCom, 'aset'): ...",
        "from airflow.providers.common.compat.sdk import conf",
        "from airflow import __version__",
        "import airflow; new = airflow.__version__ > '3.2'",
        "try:\n    from airflow.sdk import conf\nexcept ImportError:\n    from airflow.configuration import conf",
        "there = importlib.util.find_spec('airflow.triggers.shared_stream')",
    ],
)
def test_each_way_to_ask_is_noticed(source: str):
    assert branches_on_airflow(source)


@pytest.mark.parametrize("name", version_compat.__all__)
def test_each_difference_is_needed(name: str):
    users = [*OTHERS, *(REPOSITORY / "tests").rglob("*.py")]
    assert any(re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) for path in users if path != Path(__file__))


def test_what_is_said_of_this_airflow_is_true():
    assert hasattr(BaseEventTrigger, "shared_stream_key") == version_compat.STARTS_FROM_TRIGGER
    assert hasattr(BaseTrigger, "on_kill") == version_compat.CALLS_ON_KILL


def test_a_deferred_wait_is_left_to_the_triggerers_of_its_tasks_queue(monkeypatch: pytest.MonkeyPatch):
    """Shared polls make its trigger an event trigger, whose queue would be its own."""
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    trigger = DswInstanceTrigger(instance_id="dsw-abc")
    task = SimpleNamespace(dag_id="d", task_id="t", run_id="r", task=SimpleNamespace(queue="gpu"))

    message, _ = task_runner._defer_task(
        version_compat.TaskDeferred(trigger=trigger, method_name="execute_complete"),
        cast("Any", task),
        structlog.get_logger(),
    )

    if "queue" not in type(message).model_fields:
        pytest.skip("Airflow 3.2 has trigger queues")
    assert getattr(message, "queue") == "gpu"  # noqa: B009 - not every message has one


def watcher_on_a_queue() -> DswInstanceEventTrigger:
    return DswInstanceEventTrigger(instance_id="dsw-abc", queue="gpu")


@pytest.mark.skipif(not version_compat.QUEUES_WATCHERS, reason="Airflow 3.4 has queues for watchers")
def test_a_watcher_is_left_to_the_triggerers_of_its_own_queue():
    from airflow.serialization.encoders import encode_trigger

    assert encode_trigger(watcher_on_a_queue())["queue"] == "gpu"


@pytest.mark.skipif(version_compat.QUEUES_WATCHERS, reason="Airflow 3.4 has queues for watchers")
def test_a_queue_that_airflow_can_t_give_a_watcher_is_a_warning():
    with pytest.warns(UserWarning, match=r"queue: .* need Airflow 3\.4"):
        watcher_on_a_queue()
