"""The README's snippets do what they say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from airflow.models import Connection

from airflow_provider_dsw.hooks import connection as connections

ROOT = Path(__file__).parent.parent
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def snippets(language: str) -> list[str]:
    return [text for found, text in SNIPPETS if found == language]


def run_dag(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = "import sys; from airflow_provider_dsw.emulator.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", command, "run", str(path), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
    )


def test_the_dag_runs_and_shows_its_xcom(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(snippets("python")[0])
    done = run_dag(tmp_path / "train.py", "--instance", "dsw-running=Starting:6,Running")
    assert done.returncode == 0, done.stderr
    assert "dsw-running: Starting -> Running" in done.stdout
    assert "/lab/" in done.stdout


def test_a_failed_run_has_a_failed_exit_status(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(snippets("python")[0])
    done = run_dag(tmp_path / "train.py", "--instance", "dsw-running=Failed")
    assert done.returncode == 1
    assert "running: failed" in done.stdout


def test_a_file_that_is_not_there_is_named() -> None:
    done = run_dag(Path("no_such_dag.py"))
    assert done.returncode == 1
    assert "no_such_dag.py" in done.stderr


def test_the_connection_forms_say_the_same() -> None:
    exports = [shlex.split(text)[1].split("=", 1)[1] for text in snippets("bash") if "AIRFLOW_CONN" in text]
    as_json, as_uri = exports
    one = connections.parse(Connection.from_json(as_json, conn_id="dsw_default"))
    assert one == connections.parse(Connection(conn_id="dsw_default", uri=as_uri))
    assert one.endpoint == "pai-dsw.cn-hangzhou.aliyuncs.com"
    assert "my-key-secret" not in repr(one)


def test_the_policy_is_json() -> None:
    assert json.loads(snippets("json")[0])["Statement"][0]["Effect"] == "Allow"
