"""The command `dsw-emulator`: serve the emulator, or run a DAG against it, and show what it is asked for."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_dsw.emulator.record import Request
from airflow_provider_dsw.emulator.run import run_dag
from airflow_provider_dsw.emulator.server import HOST, DswEmulator
from airflow_provider_dsw.emulator.service import DEFAULT_CREDENTIALS
from airflow_provider_dsw.emulator.state import StepSpec, parse_steps

DEFAULT_PORT = 8765
STARTING: list[StepSpec] = [
    ("Creating", 5),
    ("ResourceAllocating", 10),
    ("EnvPreparing", 10),
    ("Starting", 10),
    ("Running", None),
]
FAILING: list[StepSpec] = [
    ("Creating", 5),
    ("Starting", 15),
    ("Failed", None, {"ReasonCode": "Internal Error", "ReasonMessage": "ImagePullBackOff"}),
]
PUSHING: list[StepSpec] = [("Committing", 15), ("Pushing", 30), ("Saved", None)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "serve")  # the command that is meant when none is named
    arguments = build_parser().parse_args(given)
    status: int = arguments.command(arguments)
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dsw-emulator", description="Try DAGs without an account.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve_parser = commands.add_parser(
        "serve",
        help="serve the DSW API on loopback (what is done when no command is named; see: serve --help)",
        description="Serve the DSW API on loopback until Ctrl-C. Without --instance: a few instances to try.",
    )
    add_emulator_options(serve_parser, port=DEFAULT_PORT)
    serve_parser.set_defaults(command=serve)
    run_parser = commands.add_parser(
        "run",
        help="run a DAG through real Airflow against the emulator, and show what happens",
        description="Run the one DAG of a file, in an Airflow home made for it and removed in the end.",
    )
    run_parser.add_argument("dag_file", type=Path, metavar="DAG_FILE", help="a file with one DAG")
    add_emulator_options(run_parser, port=0)
    run_parser.set_defaults(command=run, speed=3.0)
    return parser


def add_emulator_options(parser: argparse.ArgumentParser, *, port: int) -> None:
    """The options that say what the emulator is like."""
    key_id, secret = next(iter(DEFAULT_CREDENTIALS.items()))
    add = parser.add_argument
    add("--port", type=_port, default=port, help="port on 127.0.0.1; 0: any free one (default: %(default)s)")
    add("--tls", action="store_true", help="serve https, with a certificate made for this run")
    add("--speed", type=_speed, default=1.0, help="how many times faster the statuses change (default: 1)")
    add(
        "--instance",
        dest="instances",
        metavar="ID[=STATUS:SECONDS,...,STATUS]",
        type=_instance,
        action="append",
        help="an instance and its way through its statuses, e.g. dsw-abc=Starting:20,Running (repeatable)",
    )
    add("--access-key-id", default=key_id, help="that requests must be signed with (default: %(default)s)")
    add("--access-key-secret", default=secret, help="not a real one (default: %(default)s)")
    add("--region", default="cn-hangzhou", help="shown in URLs (default: %(default)s)")


def make_emulator(arguments: argparse.Namespace) -> DswEmulator:
    """The emulator that the options describe; not started."""
    emulator = DswEmulator(
        port=arguments.port,
        tls=arguments.tls,
        speed=arguments.speed,
        credentials={arguments.access_key_id: arguments.access_key_secret},
        region=arguments.region,
        record_limit=1000,
    )
    for instance_id, steps in arguments.instances or ():
        emulator.add_instance(instance_id, timeline=steps)
    if not arguments.instances:
        emulator.add_instance("dsw-running")
        emulator.add_instance("dsw-stopped", "Stopped")
        emulator.add_instance("dsw-starting", timeline=STARTING)
        emulator.add_instance("dsw-failing", timeline=FAILING)
        emulator.add_instance("dsw-saving", "Running")
        emulator.add_snapshot("dsw-saving", "snp-saving", timeline=PUSHING)
    return emulator


def serve(arguments: argparse.Namespace) -> int:
    emulator = make_emulator(arguments)
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    emulator.on_request = _show_request
    try:
        emulator.start()
    except OSError as error:
        return _fail(f"cannot listen on {HOST}:{arguments.port}: {error.strerror}; choose another with --port")
    except ImportError:
        return _fail("--tls needs the package cryptography: pip install 'airflow-provider-dsw[emulator]'")
    try:
        _say(introduction(emulator))
        watch(emulator, stop)
    finally:
        emulator.stop()
    return 0


def run(arguments: argparse.Namespace) -> int:
    emulator = make_emulator(arguments)
    emulator.on_request = _show_request
    return run_dag(arguments.dag_file, emulator, watch)


def introduction(emulator: DswEmulator) -> str:
    """Where it is and how to use it, to be copied into a shell."""
    connection = shlex.quote(json.dumps(emulator.connection()))
    lines = [
        f"DSW emulator at {emulator.protocol}://{emulator.endpoint}, Ctrl-C stops it.",
        "",
        f"export AIRFLOW_CONN_DSW_DEFAULT={connection}",
    ]
    if emulator.ca_file:
        lines += [f"export SSL_CERT_FILE={shlex.quote(emulator.ca_file)}  # trusts the emulator and nothing else"]
    lines += ["", "Instances, and snapshots on their way:"]
    for name, status in emulator.statuses().items():
        if "/" not in name or status not in ("Saved", "Failed"):
            lines.append(f"  {name}: {status}")
    return "\n".join([*lines, ""])


def watch(emulator: DswEmulator, stop: threading.Event) -> None:
    """Show each change of a status until `stop` is set."""
    before = emulator.statuses()
    while not stop.wait(0.1):
        now = emulator.statuses()
        for name in before | now:
            if now.get(name) != before.get(name):
                _say(f"{_clock()}  {name}: {before.get(name, 'new')} -> {now.get(name, 'removed')}")
        before = now


def _show_request(request: Request) -> None:
    answered = "dropped" if request.status is None else str(request.status)
    parts = [
        _clock(),
        f"{request.action or request.method + ' ' + request.path}",
        request.instance_id,
        answered,
    ]
    parts += [request.code, request.shown]
    _say("  ".join(part for part in parts if part))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 to 65535")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return speed


def _instance(text: str) -> tuple[str, list[StepSpec]]:
    instance_id, equals, path = text.partition("=")
    steps: list[tuple[Any, ...]] = []
    try:
        for item in path.split(",") if equals else ["Running"]:
            status, colon, seconds = item.partition(":")
            steps.append((status, float(seconds) if colon else None))
        parse_steps(steps, 1.0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not instance_id:
        raise argparse.ArgumentTypeError(f"{text!r} begins with no instance id")
    return instance_id, list(steps)


def _clock() -> str:
    return datetime.fromtimestamp(time.time()).astimezone().strftime("%H:%M:%S")


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str) -> int:
    print(f"dsw-emulator: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
