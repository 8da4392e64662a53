"""Inside Airflow, for `dsw-emulator run`: run one DAG and tell the command what happens, as JSON lines.

The command starts it as a separate process, with Airflow's home and connections in the environment.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import structlog
from airflow.listeners import hookimpl
from airflow.sdk import BaseOperator, get_current_context

from airflow_provider_dsw.version_compat import dag_bag_class, listener_manager, serialize_dags


def main(dag_file: str, dag_id: str | None = None) -> None:
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    # For what the file imports from beside it; last, so that nothing there hides a package.
    sys.path.append(str(Path(dag_file).parent))
    copy = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / Path(dag_file).name
    try:
        dag = load(copy, dag_id)
    except ProblemError as problem:
        _send_event("problem", text=str(problem).replace(str(copy), dag_file))
        return
    _watch_tasks()
    _watch_warnings()

    from airflow.utils.db import initdb

    initdb()
    serialize_dags()
    dag_run = dag.test()
    _send_event("end", state=str(dag_run.state), tasks=_results(dag_run))


class ProblemError(Exception):
    """What the user has to fix."""


def load(path: Path, dag_id: str | None) -> Any:
    bag = dag_bag_class()(str(path), safe_mode=False)
    if bag.import_errors:
        error = next(iter(bag.import_errors.values())).rstrip()
        before, own, after = error.partition(f'  File "{path}"')
        if own:  # what comes before is Airflow's way to the file
            error = "".join([*before.splitlines(keepends=True)[:1], own, after])
        raise ProblemError(f"Airflow can't import it:\n{error}")
    if not bag.dags:
        raise ProblemError("no DAG in it. Is the DAG created at the top level, and is the @dag function called?")
    if dag_id is None and len(bag.dags) > 1:
        raise ProblemError(f"several DAGs in it; choose one with --dag: {', '.join(sorted(bag.dags))}")
    if dag_id is not None and dag_id not in bag.dags:
        raise ProblemError(f"no DAG {dag_id!r} in it; it has: {', '.join(sorted(bag.dags))}")
    dag = bag.dags[dag_id] if dag_id else next(iter(bag.dags.values()))
    if _is_watched(getattr(dag.timetable, "asset_condition", None)):
        raise ProblemError(
            "it is started by an AssetWatcher, whose trigger only a triggerer runs, and there is none here. See it "
            f"run in a whole Airflow: dsw-emulator standalone {path}"
        )
    return dag


def _is_watched(asset: Any) -> bool:
    """Whether an asset, or one of those that it combines, has a watcher."""
    return bool(getattr(asset, "watchers", ())) or any(map(_is_watched, getattr(asset, "objects", ())))


def _results(dag_run: Any) -> list[dict[str, Any]]:
    """Each task's state, and what it returned."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query: Any = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key="return_value")
        returned = {
            (xcom.task_id, xcom.map_index): XComModel.deserialize_value(xcom) for xcom in session.scalars(query)
        }
    instances = sorted(dag_run.get_task_instances(), key=lambda ti: (ti.start_date is None, ti.start_date or 0))
    return [
        {
            "task": _name(instance),
            "state": instance.state and str(instance.state),
            "returned": returned.get((instance.task_id, instance.map_index)),
        }
        for instance in instances
    ]


class _Listener:
    """Reports each task's start and end."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        _send_event("task", task=_name(task_instance), state="running")

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        _send_event("task", task=_name(task_instance), state="success")

    @hookimpl
    def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
        _send_event("task", task=_name(task_instance), state="skipped")

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        kind = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
        _send_event("task", task=_name(task_instance), state="failed", error=f"{kind}{error}")


def _watch_tasks() -> None:
    listener_manager().add_listener(_Listener())
    defer = BaseOperator.defer

    def report_and_defer(self: BaseOperator, **arguments: Any) -> NoReturn:  # no listener is called
        _send_event("task", task=_name(get_current_context()["ti"]), state="deferred")
        defer(self, **arguments)

    BaseOperator.defer = report_and_defer  # type: ignore[method-assign]


def _watch_warnings() -> None:
    """Report what the provider warns of in a task's log, or a trigger's."""

    def report(logger: Any, method: str, entry: dict[str, Any]) -> dict[str, Any]:
        if method == "warning" and "airflow_provider_dsw" in str(entry.get("logger")):
            _send_event("warning", text=str(entry.get("event")))
        return entry

    processors = structlog.get_config()["processors"]
    processors.insert(len(processors) - 1, report)  # the last one renders


def _name(task_instance: Any) -> str:
    index = task_instance.map_index
    return f"{task_instance.task_id}{f'[{index}]' if index is not None and index >= 0 else ''}"


def _send_event(event: str, **content: Any) -> None:
    with open(os.environ["DSW_EMULATOR_EVENTS"], "a", encoding="utf-8") as events:
        events.write(json.dumps({"event": event, **content}, ensure_ascii=False, default=str) + "\n")


def _end_with_the_command() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: this is the end of the pipe
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
