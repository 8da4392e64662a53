"""No secret leaves, whatever the service echoes, in whatever shape: answers that are generated."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_dsw import secrets
from airflow_provider_dsw.emulator import SAMPLE_SECRET, DswEmulator
from airflow_provider_dsw.emulator.signature import Credential
from airflow_provider_dsw.exceptions import DswError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.operators.dsw import DswGetInstanceOperator
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor
from airflow_provider_dsw.version_compat import TaskDeferred
from tests.support import task_runs
from tests.support.credential_sources import KEY_SECRET, OIDC_TOKEN
from tests.support.strangers import FORMS, KEYS, WORDS, leaked
from tests.system.faults.calls import ID, OPERATIONS
from tests.unit.client.test_credentials import KINDS, Kind, Servers, servers, tls  # noqa: F401 - fixtures

FEW, MANY = 6, 100
# The same cases each time: what fails in CI fails everywhere.
quickly = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # to find a smaller case takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# The everyday suite makes few of them.
examples = pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
OF_INSTANCE = "the-secret-of-the-instance"
# Which secret, in which form; or a word.
ECHOES = st.lists(
    st.one_of(st.tuples(st.integers(0, 9), st.sampled_from(FORMS)), st.sampled_from(WORDS)), min_size=1, max_size=6
)


def say(echo: list[Any], known: list[str]) -> str:
    parts = [part if isinstance(part, str) else part[1](known[part[0] % len(known)]) for part in echo]
    return " ".join(parts)


class Log(logging.Handler):
    """All that any logger says."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@contextmanager
def everything_logged() -> Iterator[Log]:
    """Listen at DEBUG, also to loggers that keep what they say from the root."""
    log = Log()
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    # Its own, which Airflow's tests of logging would read.
    heard = [logging.getLogger(), *(each for each in loggers if not each.propagate)]
    levels = [(each, each.level) for each in (*heard, *loggers)]
    for each, _ in levels:
        each.setLevel(logging.DEBUG)
    for each in heard:
        each.addHandler(log)
    try:
        yield log
    finally:
        for each in heard:
            each.removeHandler(log)
        for each, level in reversed(levels):
            each.setLevel(level)


@st.composite
def refusals(draw: st.DrawFn) -> dict[str, Any]:
    """An answer that is none, as arguments of the emulator's; each text in it is an echo."""
    status = draw(st.sampled_from((200, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503)))
    if draw(st.booleans()):
        return {"status": status, "body": draw(ECHOES), "as_json": draw(st.sampled_from((None, "InstanceId", "Code")))}
    return {
        "status": status,
        "success_false": status == 200,
        **{
            name: draw(ECHOES if draw(st.booleans()) else st.just([usual]))
            for name, usual in (("code", "Whatever"), ("message", "No."), ("request_id", "R-1"))
        },
    }


def fault_of(refusal: dict[str, Any], known: list[str]) -> dict[str, Any]:
    said = {name: say(value, known) if isinstance(value, list) else value for name, value in refusal.items()}
    name = said.pop("as_json", None)
    if name:
        said["body"] = json.dumps({name: said["body"], "RequestId": said["body"]})
    if "body" in said:
        said["body"] = said["body"].encode(errors="surrogatepass")
    if said.get("request_id"):
        # It is a header too.
        said["request_id"] = "".join(letter for letter in said["request_id"] if letter.isprintable())
    return said


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no secret be known from another test."""
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(secrets, "_known_forms", ())


def shown(hook: DswHook, call: Any) -> list[str]:
    """Call, and return all that the error shows."""
    try:
        call(hook)
    except DswError as error:
        attributes = [repr(value) for value in vars(error).values()]
        return [*traceback.format_exception(error), repr(error), str(error), *attributes, repr(hook.connection)]
    return [repr(hook), repr(hook.connection)]


def last_used(emulator: DswEmulator) -> list[str]:
    """Return what is secret of the credentials that signed the last request."""
    used = emulator.credentials[emulator.requests[-1].access_key_id or ""]
    return [used.secret, used.security_token or used.secret] if isinstance(used, Credential) else [str(used)]


@pytest.mark.parametrize("number", [30, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("no_pauses")
def test_no_error_and_no_log_shows_a_key_or_token_that_the_service_echoes(
    number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], emulator: DswEmulator
) -> None:
    @settings(quickly, max_examples=number)
    @given(name=st.sampled_from(list(OPERATIONS)), key=KEYS, token=KEYS, refusal=refusals())
    def check(name: str, key: str, token: str, refusal: dict[str, Any]) -> None:
        forget(monkeypatch)
        emulator.set_credentials({"key-id": Credential(key, token)})
        emulator.clear_faults()
        monkeypatch.setenv("AIRFLOW_CONN_DSW_DEFAULT", json.dumps(emulator.connection()))
        emulator.fault(times=None, **fault_of(refusal, [key, token]))
        with everything_logged() as log:
            texts = shown(DswHook(), OPERATIONS[name].call)
        assert leaked([key, token], *texts, *log.said, capfd.readouterr()) == []

    check()


@examples
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.usefixtures("no_pauses")
def test_no_error_and_no_log_shows_what_was_fetched(
    kind: Kind,
    number: int,
    servers: Servers,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    @settings(quickly, max_examples=number)
    @given(name=st.sampled_from(sorted(OPERATIONS)), refusal=refusals())
    def check(name: str, refusal: dict[str, Any]) -> None:
        forget(monkeypatch)
        servers.emulator.clear_faults()
        with everything_logged() as log:
            hook = servers.hook(kind)
            assert hook.get_instance(ID)["InstanceId"] == ID
            known = last_used(servers.emulator)
            servers.emulator.fault(times=None, **fault_of(refusal, known))
            texts = shown(hook, OPERATIONS[name].call)
        assert leaked([*known, OIDC_TOKEN, KEY_SECRET], *texts, *log.said, capfd.readouterr()) == []

    check()


# What an instance shows

# As the documentation names them; secret as a whole, or under a key.
SECRET_FIELDS = ("CredentialConfig", "EnvironmentVariables", "ImageAuth", "ServiceConfig")
SECRET_KEYS = {"UserVpc": "SSHPublicKey", "Datasets": "Options", "DynamicMount": "Options"}

SHAPES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from((OF_INSTANCE, f"a {OF_INSTANCE} b", 1, None, True)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("Name", "Value", "Options", "SSHPublicKey", "Status")), inner, max_size=3),
        inner.map(json.dumps),
    ),
    max_leaves=8,
)
URLS = st.sampled_from(
    (
        f"https://user:{OF_INSTANCE}@dsw.example/lab",
        f"https://dsw.example/lab?token={OF_INSTANCE}",
        f"https://dsw.example/lab#access_token={OF_INSTANCE}",
        f"https://dsw.example/lab?a=1&Password={OF_INSTANCE}&b=2",
    )
)


@st.composite
def instances(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of an instance: what is secret in them in any shape, and URLs that hold a password or token."""
    fields: dict[str, Any] = {name: draw(SHAPES) for name in SECRET_FIELDS}
    for name, key in SECRET_KEYS.items():
        held = {"ForwardInfos": [{key: draw(SHAPES), "Name": "ssh"}]}
        fields[name] = json.dumps(held) if draw(st.booleans()) else [held] if draw(st.booleans()) else held
    names = ("InstanceUrl", "JupyterlabUrl", "WebIDEUrl", "TerminalUrl", "ImageUrl")
    return fields | {name: draw(URLS) for name in names if draw(st.booleans())}


def outputs(task: Any) -> Iterator[object]:
    """All that a task leaves in Airflow's database."""
    of_task = task_runs.context()
    try:
        yield task.execute(of_task)
    except TaskDeferred as deferred:
        yield deferred.trigger.serialize()
        event = asyncio.run(task_runs.first_event(task_runs.carried_over(deferred.trigger)))
        yield event
        yield task.resume_execution(deferred.method_name, {"event": event}, of_task)
    yield vars(task)


@examples
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_nothing_that_is_secret_of_an_instance_is_stored(
    deferrable: bool,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    dsw_default: DswEmulator,
    links_written: list[str],
    no_pauses: None,
) -> None:
    @settings(quickly, max_examples=number)
    @given(fields=instances())
    def check(fields: dict[str, Any]) -> None:
        forget(monkeypatch)
        dsw_default.add_instance(ID, per_poll=["Starting", "Starting", "Running"], **fields)
        sensor = DswInstanceSensor(task_id="a", instance_id=ID, poke_interval=0.01, deferrable=deferrable)
        get = DswGetInstanceOperator(task_id="b", instance_id=ID, fields={"all": "@", "vpc": "UserVpc"})
        with everything_logged() as log:
            stored = [*outputs(sensor), *outputs(get)]
        assert leaked([OF_INSTANCE, SAMPLE_SECRET], *stored, *links_written, *log.said, capfd.readouterr()) == []

    check()
