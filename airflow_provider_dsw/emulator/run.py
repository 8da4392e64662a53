"""`dsw-emulator run DAG_FILE`: run a DAG through real Airflow against the emulator, and show what happens."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from airflow_provider_dsw.emulator.server import DswEmulator
from airflow_provider_dsw.emulator.state import StepSpec

# In a process of its own: Airflow reads its settings when it is imported.
_RUNNER = """
import json, sys
from airflow.utils.db import initdb
initdb()
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
if bag.import_errors:
    sys.exit("can't be imported:\\n" + "\\n".join(bag.import_errors.values()))
if len(bag.dags) != 1:
    sys.exit(f"holds {len(bag.dags)} DAGs ({', '.join(bag.dags) or 'none'}); run needs exactly one")
run = next(iter(bag.dags.values())).test()
tasks = [
    {"task": ti.task_id, "index": ti.map_index, "state": str(ti.state),
     "value": ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)}
    for ti in run.get_task_instances()
]
with open(sys.argv[2], "w") as out:
    json.dump({"state": str(run.state), "tasks": tasks}, out, default=str)
"""


def run_dag(dag_file: Path, emulator: DswEmulator, watch: Callable[[DswEmulator, threading.Event], None]) -> int:
    """
    Run the one DAG of a file and return 0 where it succeeded.

    dag_file: its path. emulator: not started yet. watch: shows requests and changes of status until its event is set.
    """
    if not dag_file.is_file():
        return _refuse(f"no such file: {dag_file}")
    if importlib.util.find_spec("airflow") is None:
        return _refuse("Apache Airflow is not installed here")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="dsw-emulator-") as home, emulator:
        (dags := Path(home, "dags")).mkdir()
        shutil.copy(dag_file, dags)
        report, log = Path(home, "report.json"), Path(home, "airflow.log")
        if "dsw-saving" in emulator.statuses():
            # Created after the run began, as one is that the run itself asked for.
            emulator.add_snapshot("dsw-saving", created=datetime.now(UTC) + timedelta(minutes=1), timeline=_PUSHING)
        watcher = threading.Thread(target=watch, args=(emulator, stop), daemon=True)
        watcher.start()
        try:
            with log.open("w") as output:
                process = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
                    [sys.executable, "-c", _RUNNER, str(dags), str(report)],
                    env=_environment(home, str(dags), emulator),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                try:
                    process.wait()
                except KeyboardInterrupt:
                    os.killpg(process.pid, signal.SIGKILL)
                    return _refuse("stopped")
        finally:
            stop.set()
            watcher.join(2)
        if process.returncode or not report.exists():
            return _refuse(f"{dag_file} " + "\n".join(log.read_text().splitlines()[-15:]))
        return _show(json.loads(report.read_text()))


_PUSHING: list[StepSpec] = [("Committing", 15), ("Pushing", 20), ("Saved", None)]


def _environment(home: str, dags: str, emulator: DswEmulator) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **kept,
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": dags,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_DSW_DEFAULT": json.dumps(emulator.connection()),
        **({"SSL_CERT_FILE": emulator.ca_file} if emulator.ca_file else {}),
    }


def _show(report: dict[str, object]) -> int:
    print(f"\nDAG run: {report['state']}")
    tasks = report["tasks"]
    assert isinstance(tasks, list)  # noqa: S101
    for task in tasks:
        index = f"[{task['index']}]" if task["index"] >= 0 else ""
        print(f"  {task['task']}{index}: {task['state']}")
        print(f"    XCom: {json.dumps(task['value'], ensure_ascii=False, default=str)}")
    return 0 if report["state"] == "success" else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _refuse(text: str) -> int:
    print(f"dsw-emulator: {text}", file=sys.stderr)
    return 1
