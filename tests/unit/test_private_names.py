"""
What the package uses of Airflow and of libraries that they do not document: each name is there, and no other is used.

Whoever wants to support another version looks here first. ``goes_with`` names the Airflow version with which a use
goes.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__

import airflow_provider_dsw

PACKAGE = Path(airflow_provider_dsw.__file__).parent
AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
# Airflow's public interface, as its documentation lists it; beneath airflow.sdk only what that itself names.
PUBLIC = {
    "airflow",
    "airflow.configuration",
    "airflow.exceptions",
    "airflow.listeners",
    "airflow.sdk",
    "airflow.sdk.exceptions",
    "airflow.triggers.base",
}

# Named like private ones, but documented by Python: os._exit, and what a named tuple has.
DOCUMENTED = {"_exit", "_asdict", "_replace"}


@dataclass(frozen=True)
class Use:
    """
    One such name.

    :param name: with its module.
    :param what_for: what does not work without it.
    :param goes_with: the Airflow version with which its use goes; empty for one that stays.
    :param since: the Airflow version from which on it is used.
    """

    name: str
    what_for: str
    goes_with: str = ""
    since: str = "3.1"

    @property
    def is_here(self) -> bool:
        last = _version(self.goes_with) if self.goes_with else AIRFLOW
        return _version(self.since) <= AIRFLOW <= last


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


TASK_RUNNER = "airflow.sdk.execution_time.task_runner"
USES = (
    # Airflow, in tasks and triggers
    Use("airflow.sdk.BaseOperator._do_render_template_fields", "secrets of a body are masked before Airflow stores it"),
    Use("airflow.sdk.BaseOperator._BaseOperator__from_mapped", "a mapped task's bad argument is not retried"),
    Use("airflow.sdk.BaseSensorOperator._get_next_poke_interval", "a sensor keeps to the service's own retry-after"),
    Use("airflow.sdk.bases.xcom.BaseXCom", "links, and the notes about stop_on_kill"),
    Use("airflow.sdk.definitions.asset.AssetRef", "references to assets get the snapshot's extra"),
    Use("airflow.sdk.log.mask_secret", "secrets are masked in logs"),
    Use(f"{TASK_RUNNER}.SUPERVISOR_COMMS", "whether there is an Airflow to ask who ended a task"),
    Use(f"{TASK_RUNNER}.RuntimeTaskInstance", "who ended a task"),
    Use(f"{TASK_RUNNER}.RuntimeTaskInstance.get_task_states", "who ended a task"),
    Use(f"{TASK_RUNNER}.RuntimeTaskInstance.get_first_reschedule_date", "how long a rescheduled wait took"),
    Use("airflow.sdk.execution_time.comms.GetXCom", "notes that a trigger reads", goes_with="3.2"),
    Use("airflow.sdk.execution_time.comms.SetXCom", "notes that a trigger writes", goes_with="3.2"),
    Use(
        "airflow.sdk.execution_time.context.AssetStateStoreAccessors._by_name",
        "a watcher for several assets remembers what it has seen",
        since="3.3",
    ),
    # Airflow, for the emulator's command
    Use("airflow.dag_processing.bundles.manager.DagBundlesManager", "dsw-emulator run", goes_with="3.1"),
    Use("airflow.dag_processing.dagbag.DagBag", "dsw-emulator run", since="3.2"),
    Use("airflow.listeners.listener.get_listener_manager", "dsw-emulator run", goes_with="3.1"),
    Use("airflow.models.connection.Connection", "dsw-emulator standalone"),
    Use("airflow.models.dagbag.DagBag", "dsw-emulator run", goes_with="3.1"),
    Use("airflow.models.dagbag.sync_bag_to_db", "dsw-emulator run", goes_with="3.1"),
    Use("airflow.models.xcom.XComModel", "dsw-emulator run"),
    Use("airflow.sdk.listener.get_listener_manager", "dsw-emulator run", since="3.2"),
    Use("airflow.utils.db.initdb", "dsw-emulator run and standalone"),
    Use("airflow.utils.session.create_session", "dsw-emulator run and standalone"),
    # Libraries
    Use("alibabacloud_credentials.provider.default.EcsRamRoleCredentialsProvider", "no thread that nothing ever ends"),
    Use("Tea.core.TeaCore._sessions", "a forked child shares no connection of its parent's"),
    Use("darabonba.core.DaraCore._sessions", "a forked child shares no connection of its parent's"),
    Use("jmespath.functions.Functions.FUNCTION_TABLE", "an unknown function is refused where the DAG is parsed"),
    Use("jmespath.parser.ParsedResult.parsed", "an unknown function or field is noticed in an expression"),
    Use("tenacity.BaseRetrying.iter_state", "a poll leaves no reference cycle"),
)


@pytest.mark.parametrize("use", [use for use in USES if use.is_here], ids=lambda use: use.name)
def test_it_is_there(use: Use) -> None:
    assert exists(use.name), f"{use.name} is gone: {use.what_for}"


def test_one_that_is_gone_is_noticed() -> None:
    assert not exists("airflow.sdk.BaseOperator._no_such_name")
    assert not exists("airflow.no_such_module.Name")
    assert not exists("jmespath.parser.ParsedResult.no_such_attribute")


def test_no_other_is_used() -> None:
    listed = {use.name for use in USES}
    assert_listed(set(imports()) - listed, "import it from airflow.sdk, if that has it; or")

    last_parts = {name.rpartition(".")[2] for name in listed}
    assert_listed(set(foreign_private_names()) - last_parts, "do without it; or")
    assert_listed(set(overridden()) - last_parts, "call yours otherwise; or")


def assert_listed(others: set[str], instead: str) -> None:
    assert not others, (
        f"not documented by Airflow or a library: {', '.join(sorted(others))}. Rather {instead} add a row to USES in "
        "tests/unit/test_private_names.py: the name with its module, and what does not work without it."
    )


def test_each_is_used() -> None:
    whole = "\n".join(SOURCES.values())
    unused = [use.name for use in USES if use.name.rpartition(".")[2] not in whole]
    assert unused == [], "USES in tests/unit/test_private_names.py has rows that the package does not need any more"


def exists(name: str) -> bool:
    """Return whether a name is there: a module's, a class's, or an attribute that a class gives its instances."""
    module, *attributes = name.split(".")
    found: Any = importlib.import_module(module)
    for attribute in attributes:
        module = f"{module}.{attribute}"
        if hasattr(found, attribute):
            found = getattr(found, attribute)
        elif hasattr(found, "__path__") and importlib.util.find_spec(module):
            found = importlib.import_module(module)
        else:
            # Declared, and set when a process or an object begins.
            declared = inspect.get_annotations(found)
            return attribute in declared or (inspect.isclass(found) and f"self.{attribute}" in inspect.getsource(found))
    return True


def imports() -> Iterator[str]:
    """Each name that is imported of Airflow, but for its public interface."""
    for source in SOURCES.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "airflow":
                if node.module not in PUBLIC:
                    yield from (f"{node.module}.{name.name}" for name in node.names)
            elif isinstance(node, ast.Import):
                yield from (name.name for name in node.names if name.name.startswith("airflow."))


def is_private(name: str) -> bool:
    return name.startswith("_") and name.isidentifier() and not name.endswith("_")


def foreign_private_names() -> Iterator[str]:
    """Each private name that is read, also by ``getattr``, and that nothing in the package defines."""
    nodes = [node for source in SOURCES.values() for node in ast.walk(ast.parse(source))]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        name = node.attr if isinstance(node, ast.Attribute) else None
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr", "hasattr"):
            name = getattr(node.args[1], "value", None)
        if isinstance(name, str) and is_private(name) and name not in {*own, *DOCUMENTED}:
            yield name


def overridden() -> Iterator[str]:
    """Each private method that takes the place of one that a class outside the package has."""
    for module in pkgutil.walk_packages([str(PACKAGE)], f"{PACKAGE.name}."):
        if "emulator.cli" in module.name:
            continue  # a command, which runs when it is imported
        for made in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(made) and made.__module__ == module.name:
                foreign = [base for base in made.__mro__ if not base.__module__.startswith(PACKAGE.name)]
                methods = [name for name, value in vars(made).items() if is_private(name) and inspect.isfunction(value)]
                yield from (name for name in methods if any(name in vars(base) for base in foreign))
