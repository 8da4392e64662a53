"""The command dsw-emulator, as a user runs it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alibabacloud_tea_openapi.client import Client
from alibabacloud_tea_openapi.utils_models import Config

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.cli import __main__ as cli
from tests.support.emulator import ABC, sdk_call

COMMAND = [sys.executable, "-m", "airflow_provider_dsw.emulator.cli"]


class Running:
    """The command in a process; its output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, pattern: str) -> str:
        """Read on to a line that this pattern is found in."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if re.search(pattern, line):
                return self.lines[-1]
        raise AssertionError(f"no line like {pattern!r} in {self.lines}")

    def exported(self) -> dict[str, str]:
        """What the printed export lines set."""
        self.until("Instances")
        words = [shlex.split(line, comments=True) for line in self.lines if line.startswith("export ")]
        return dict(word[1].split("=", 1) for word in words)


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    try:
        yield Running(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def client(exported: dict[str, str]) -> Client:
    connection = json.loads(exported["AIRFLOW_CONN_DSW_DEFAULT"])
    return Client(
        Config(
            endpoint=f"{connection['host']}:{connection['port']}",
            protocol=connection["extra"]["protocol"],
            region_id=connection["extra"]["region"],
            access_key_id=connection["login"],
            access_key_secret=connection["password"],
            ca=exported.get("SSL_CERT_FILE"),
        )
    )


@pytest.mark.parametrize("options", [[], ["--tls"], ["serve"]])
def test_the_printed_lines_are_all_that_a_client_needs(options):
    with running(*options, "--port", "0", "--instance", "dsw-abc") as command:
        exported = command.exported()
        assert ("SSL_CERT_FILE" in exported) == ("--tls" in options)

        assert sdk_call(client(exported), "GetInstance", ABC)["Status"] == "Running"

        assert re.match(r"\d\d:\d\d:\d\d  GetInstance  dsw-abc  200  Running$", command.until("GetInstance"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number):
    with running("--port", "0", "--tls") as command:
        certificate = command.exported()["SSL_CERT_FILE"]

        command.process.send_signal(number)

        _, errors = command.process.communicate()
        assert (command.process.returncode, errors) == (0, "")
        assert not os.path.exists(certificate)


def test_an_instance_moves_as_it_is_told_to_and_says_so():
    options = ["--port", "0", "--speed", "10", "--instance", "dsw-abc=Creating:2,Starting:2,Running"]
    with running(*options, "--access-key-id", "me", "--access-key-secret", "s") as command:
        exported = command.exported()

        command.until("dsw-abc: Creating -> Starting$")
        command.until("dsw-abc: Starting -> Running$")

        assert sdk_call(client(exported), "GetInstance", ABC)["Status"] == "Running"


def test_without_instances_there_are_some_to_try():
    emulator = cli.make_emulator(cli.build_parser().parse_args(["serve"]))

    text = cli.introduction(emulator)

    for line in ("dsw-running: Running", "dsw-stopped: Stopped", "dsw-saving/snp-saving: Committing"):
        assert f"  {line}\n" in text


def test_a_taken_port_is_told_in_one_line():
    with DswEmulator() as emulator:
        ended = subprocess.run([*COMMAND, "--port", str(emulator.port)], capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{emulator.port}" in ended.stderr
    assert "--port" in ended.stderr


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--port", "70000", "not a port"),
        ("--port", "x", "not a port"),
        ("--speed", "0", "above 0"),
        ("--speed", "nan", "above 0"),
        ("--instance", "dsw=Starting,Running", "last step"),
        ("--instance", "dsw=Starting:x,Running", "'x' is not a number of seconds. Write it like dsw-abc=Starting:20"),
        ("--instance", "dsw=Starting:-1,Running", "not a step"),
        ("--instance", "dsw=Starting:nan,Running", "not a step"),
        ("--instance", "dsw=", "a status is missing"),
        ("--instance", "=Running", "does not begin with an instance id"),
        ("--instance", "dsw-abc:Running", "'dsw-abc:Running' is not a valid id. Write it like dsw-abc=Starting:20"),
        ("--instance", "dsw=Starting:2,Runing", "'Runing' is not an instance status. Did you mean 'Running'?"),
        ("--instance", "dsw=running", "'running' is not an instance status. Did you mean 'Running'?"),
        ("--assume", "modifed_time=missing", "Did you mean 'modified_time'?"),
        ("--assume", "modified_time=sometimes", "is one of"),
        ("--assume", "unique_names=perhaps", "true or false"),
        ("--assume", "no_stock=x", "'x'"),
        ("--assume", "start_timeline=Starting,Running", "last step"),
        (
            "--assume",
            "start_timeline=Startin:1,Running",
            "'Startin' is not an instance status. Did you mean",
        ),
        ("--assume", "snapshot_timeline=Commiting:1,Saved", "is not a snapshot status. Did you mean 'Committing'?"),
        ("--instances", "dsw=Running", "usage: dsw-emulator serve [-h]"),
        ("--instances", "dsw=Running", "unrecognized arguments: --instances=dsw=Running. Did you mean '--instance'?"),
    ],
)
def test_a_malformed_argument_is_told(capsys, option, value, told):
    with pytest.raises(SystemExit) as raised:
        cli.main([f"{option}={value}"])

    assert raised.value.code == 2
    assert told in capsys.readouterr().err


def test_what_is_assumed_may_be_chosen():
    given = {
        "modified_time": "missing",
        "unique_names": "false",
        "no_stock": "2",
        "saved_seconds": "0.5",
        "stop_timeline": "Stopping:60,Stopped",
    }
    options = [f"--assume={name}={value}" for name, value in given.items()]
    arguments = cli.build_parser().parse_args(["serve", *options, "--clock-offset=-3"])

    emulator = cli.make_emulator(arguments)

    assert {name: getattr(emulator, name) for name in given} == {
        "modified_time": "missing",
        "unique_names": False,
        "no_stock": 2,
        "saved_seconds": 0.5,
        "stop_timeline": [("Stopping", 60.0), ("Stopped", None)],
    }
    assert emulator.clock.offset == -3


def test_a_blank_after_a_comma_or_colon_is_no_part_of_a_status():
    arguments = cli.build_parser().parse_args(["serve", "--instance", "dsw=Starting: 2, Running"])

    assert arguments.instances == [("dsw", [("Starting", 2.0), ("Running", None)])]


def test_a_status_that_resembles_none_is_served_but_told():
    """A wait's author may want to see what it makes of one that the service will have."""
    with running(
        "--port", "0", "--instance", "dsw-abc=Frozen:2,Running", "--instance", "dsw=Saving:1,Saved"
    ) as command:
        told = command.until("is not an instance status")

    assert told.startswith("--instance dsw-abc: 'Frozen' is not an instance status. Known names: ")
    assert told.endswith(" It is served anyway.")


def test_help_names_the_command_and_its_options(capsys):
    for arguments, told in ((["--help"], "serve"), (["serve", "--help"], "--instance")):
        with pytest.raises(SystemExit) as raised:
            cli.main(arguments)
        assert raised.value.code == 0
        assert told in capsys.readouterr().out
