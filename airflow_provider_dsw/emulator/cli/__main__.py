"""The command `dsw-emulator`: serve the emulator, run a DAG against it, or start a whole Airflow beside it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_dsw import validation
from airflow_provider_dsw.arguments import did_you_mean, near_miss
from airflow_provider_dsw.emulator.cli.console import changes, fail, request_line, say, say_now
from airflow_provider_dsw.emulator.cli.run import DagRun
from airflow_provider_dsw.emulator.cli.scenario import ScenarioEmulator, Steps
from airflow_provider_dsw.emulator.cli.standalone import StandaloneAirflow
from airflow_provider_dsw.emulator.clock import Clock
from airflow_provider_dsw.emulator.options import OPTION_NAMES, Options, check_option
from airflow_provider_dsw.emulator.server import HOST, DswEmulator
from airflow_provider_dsw.emulator.service import DEFAULT_CREDENTIALS
from airflow_provider_dsw.emulator.timeline import parse_steps
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, SNAPSHOT_STATUSES

DEFAULT_PORT = 8765
UI_PORT = 8080
RUN_SPEED = 4.0
_LIKE_THIS = "Write it like dsw-abc=Starting:20,Running"
# A list of timelines is for a program.
ASSUMABLE = frozenset(name for name in OPTION_NAMES if not name.startswith("next_"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "serve")  # the command that is meant when none is named
    arguments, unknown = build_parser().parse_known_args(given)
    if unknown:
        parser: argparse.ArgumentParser = arguments.parser
        known = re.findall(r"--[a-z-]+", parser.format_usage())
        parser.error(f"unrecognized arguments: {shlex.join(unknown)}.{near_miss(unknown[0].partition('=')[0], known)}")
    status: int = arguments.command(arguments)
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dsw-emulator", description="Try DAGs without an account.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve_parser = commands.add_parser(
        "serve",
        help="serve the DSW API on loopback (the default command; see: serve --help)",
        description="Serve the DSW API on loopback until Ctrl-C. Without --instance: a few instances to try.",
    )
    add_emulator_options(serve_parser, port=DEFAULT_PORT)
    serve_parser.set_defaults(command=serve, parser=serve_parser)
    run_parser = commands.add_parser(
        "run",
        help="run a DAG against the emulator by real Airflow, in a temporary home",
        description="Run the DAG of a file against the emulator, by the Airflow that is installed here, in a "
        "temporary AIRFLOW_HOME. An instance begins to move with the first request for it. The exit status is 0 "
        "only if the DAG run succeeded.",
    )
    run_parser.add_argument("dag_file", metavar="DAG_FILE", type=Path, help="a Python file that holds a DAG")
    run_parser.add_argument("--dag", metavar="DAG_ID", help="which one, if the file holds several")
    run_parser.add_argument("-v", "--verbose", action="store_true", help="show Airflow's own log too")
    add_connection_option(run_parser)
    add_emulator_options(run_parser, port=0, speed=RUN_SPEED)
    run_parser.set_defaults(command=run, parser=run_parser)
    standalone_parser = commands.add_parser(
        "standalone",
        help="a whole Airflow with its UI beside the emulator, gone after Ctrl-C",
        description="Start the Airflow that is installed here beside the emulator, in a temporary AIRFLOW_HOME: its "
        "UI, its scheduler and its triggerer, with the connection set and the DAGs loaded. An instance begins to "
        "move with the first request for it. Ctrl-C stops all of it and removes it.",
    )
    standalone_parser.add_argument(
        "dag_files", metavar="DAG_FILE", type=Path, nargs="*", help="the DAGs to load (default: the example DAGs)"
    )
    standalone_parser.add_argument(
        "--ui-port", type=_port, default=UI_PORT, help="port of the UI on 127.0.0.1 (default: %(default)s)"
    )
    add_connection_option(standalone_parser)
    add_emulator_options(standalone_parser, port=0)
    standalone_parser.set_defaults(command=standalone, parser=standalone_parser)
    return parser


def add_connection_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--conn-id",
        dest="conn_ids",
        metavar="CONN_ID",
        action="append",
        help="a connection that leads to the emulator, as the DAG names it (repeatable; default: dsw_default)",
    )


def add_emulator_options(parser: argparse.ArgumentParser, *, port: int, speed: float = 1.0) -> None:
    """The options that say what the emulator is like."""
    key_id, secret = next(iter(DEFAULT_CREDENTIALS.items()))
    add = parser.add_argument
    add("--port", type=_port, default=port, help="port on 127.0.0.1; 0: any free one (default: %(default)s)")
    add("--tls", action="store_true", help="serve https, with a certificate made for this run")
    add("--speed", type=_speed, default=speed, help="how many times faster statuses change (default: %(default)g)")
    add(
        "--instance",
        dest="instances",
        metavar="ID[=STATUS:SECONDS,...,STATUS]",
        type=_instance,
        action="append",
        help="an instance and the statuses that it passes through, e.g. dsw-abc=Starting:20,Running (repeatable)",
    )
    add("--access-key-id", default=key_id, help="the AccessKey that has to sign requests (default: %(default)s)")
    add("--access-key-secret", default=secret, help="its secret; not a real one (default: %(default)s)")
    add(
        "--assume",
        dest="options",
        metavar="NAME=VALUE",
        type=_option,
        action="append",
        default=[],
        help="how it behaves where the documentation is silent, e.g. modified_time=missing (repeatable): "
        + ", ".join(sorted(ASSUMABLE)),
    )
    add("--clock-offset", type=float, default=0.0, help="by how many seconds the service's clock is ahead")
    add("--region", default="cn-hangzhou", help="shown in URLs (default: %(default)s)")


def make_emulator(arguments: argparse.Namespace, *, starts_on_request: bool = False) -> ScenarioEmulator:
    """The emulator that the options describe; not started."""
    emulator = ScenarioEmulator(
        arguments.instances,
        starts_on_request=starts_on_request,
        port=arguments.port,
        tls=arguments.tls,
        speed=arguments.speed,
        credentials={arguments.access_key_id: arguments.access_key_secret},
        region=arguments.region,
        record_limit=1000,
        clock=Clock(arguments.clock_offset),
        **dict(arguments.options),
    )
    if not starts_on_request:
        emulator.begin()
    return emulator


def doubtful_statuses(instances: Sequence[tuple[str, Steps]] | None) -> Iterator[str]:
    """A line for each status that is unknown: it may be there to see what a wait makes of it."""
    for instance_id, steps in instances or ():
        for status, *_ in steps:
            if status not in INSTANCE_STATUSES:
                told = f"{status!r} is not an instance status.{did_you_mean(status, INSTANCE_STATUSES)}"
                yield f"--instance {instance_id}: {told} It is served anyway.\n"


def serve(arguments: argparse.Namespace) -> int:
    emulator = make_emulator(arguments)
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    emulator.on_request = lambda request: say_now(request_line(request))
    problem = start(emulator)
    if problem:
        return fail(problem)
    try:
        say(introduction(emulator))
        for line in doubtful_statuses(arguments.instances):
            say(line)
        print_changes(emulator, stop)
    finally:
        emulator.stop()
    return 0


def run(arguments: argparse.Namespace) -> int:
    emulator = make_emulator(arguments, starts_on_request=True)
    dag_run = DagRun(
        emulator,
        arguments.dag_file,
        dag_id=arguments.dag,
        conn_ids=arguments.conn_ids or ["dsw_default"],
        verbose=arguments.verbose,
    )
    return run_beside(emulator, dag_run, arguments)


def standalone(arguments: argparse.Namespace) -> int:
    emulator = make_emulator(arguments, starts_on_request=True)
    airflow = StandaloneAirflow(
        emulator,
        arguments.dag_files or None,
        conn_ids=arguments.conn_ids or ["dsw_default"],
        port=arguments.ui_port,
    )
    return run_beside(emulator, airflow, arguments)


def run_beside(emulator: ScenarioEmulator, airflow: DagRun | StandaloneAirflow, arguments: argparse.Namespace) -> int:
    """Run Airflow while the emulator serves; return the exit status of the command."""
    problem = airflow.problem() or start(emulator)
    if problem:
        return fail(problem)
    for line in doubtful_statuses(arguments.instances):
        say(line)
    try:
        return airflow.run()
    finally:
        emulator.stop()


def start(emulator: DswEmulator) -> str | None:
    """Start the emulator; return what is wrong if it can't be."""
    try:
        emulator.start()
    except OSError as error:
        return f"cannot listen on {HOST}:{emulator.port}: {error.strerror}; choose another with --port"
    except ImportError:
        return "--tls needs the package cryptography: pip install 'airflow-provider-dsw[emulator]'"
    return None


def introduction(emulator: DswEmulator) -> str:
    """Where it is and how to use it, to be copied into a shell."""
    connection = shlex.quote(json.dumps(emulator.connection()))
    lines = [
        f"DSW emulator at {emulator.protocol}://{emulator.endpoint}, Ctrl-C stops it.",
        "It serves the API alone; `dsw-emulator run` and `dsw-emulator standalone` start an Airflow too.",
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


def print_changes(emulator: ScenarioEmulator, stop: threading.Event) -> None:
    """Show each change of a status until `stop` is set."""
    before = emulator.statuses()
    while not stop.wait(0.1):
        emulator.advance()
        now = emulator.statuses()
        for _, line in changes(before, now):
            say_now(line)
        before = now


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


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name not in ASSUMABLE:
        raise argparse.ArgumentTypeError(f"{name!r} is not an assumption.{did_you_mean(name, sorted(ASSUMABLE))}")
    default = getattr(Options, name)
    try:
        if isinstance(default, bool):
            return name, {"true": True, "false": False}[value.lower()]
        if isinstance(default, tuple):
            steps = _steps(value)
            _refuse_near_misses(text, steps, SNAPSHOT_STATUSES if "snapshot" in name else INSTANCE_STATUSES)
            return name, steps
        parsed = type(default)(value)
        check_option(name, parsed)
    except (KeyError, ValueError) as error:
        told = "true or false" if isinstance(error, KeyError) else error
        raise argparse.ArgumentTypeError(f"{text!r}: {told}") from None
    return name, parsed


def _steps(path: str) -> list[tuple[str, float | None]]:
    steps: list[tuple[str, float | None]] = []
    for item in path.split(","):
        status, colon, seconds = (part.strip() for part in item.partition(":"))
        try:
            steps.append((status, float(seconds) if colon else None))
        except ValueError:
            raise ValueError(f"{seconds!r} is not a number of seconds") from None
        if not status:
            raise ValueError("a status is missing")
    parse_steps(steps, 1.0)
    return steps


def _instance(text: str) -> tuple[str, Steps]:
    instance_id, equals, path = text.partition("=")
    try:
        steps = _steps(path if equals else "Running")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}. {_LIKE_THIS}") from None
    if not instance_id:
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with an instance id. {_LIKE_THIS}")
    if not validation.is_identifier(instance_id):
        raise argparse.ArgumentTypeError(f"{instance_id!r} is not a valid id. {_LIKE_THIS}")
    _refuse_near_misses(text, steps, INSTANCE_STATUSES)
    return instance_id, steps


def _refuse_near_misses(text: str, steps: Steps, known: Sequence[str]) -> None:
    owner = "a snapshot" if known is SNAPSHOT_STATUSES else "an instance"
    for status, *_ in steps:
        # The wait for the status that is meant would never end.
        if status not in known and (near := near_miss(status, known)):
            raise argparse.ArgumentTypeError(f"{text!r}: {status!r} is not {owner} status.{near}")


if __name__ == "__main__":
    sys.exit(main())
