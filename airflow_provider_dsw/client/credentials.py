"""
A connection's credentials: fetched once for all callers, and renewed when they expire.

What fetches them is ``alibabacloud_credentials``, by its synchronous way: its asynchronous one holds a thread's
lock across an await, which stalls the event loop. Keys that the connection itself holds need nothing of it but a
name for them: to import the rest costs a triggerer 5 MB.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_dsw.client.causes import NO_CREDENTIALS, network_cause
from airflow_provider_dsw.client.connection_fields import OPTIONAL_FIELDS, REQUIRED_FIELDS
from airflow_provider_dsw.client.failures import Failure, blames_credentials
from airflow_provider_dsw.client.locks import ProcessLock
from airflow_provider_dsw.secrets import register_secrets

if TYPE_CHECKING:
    from airflow_provider_dsw.client.connection import DswConnection

T = TypeVar("T")

# Seconds for which they are not asked for again. The library renews them a quarter of an hour before their end,
# and those that live no longer than that whenever it is asked.
REUSE_SECONDS = 20.0


class CredentialsError(Exception):
    """The credentials could not be fetched or renewed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.cause or failure.message}. {failure.advice}")
        self.failure = failure


class _BinaryFileError(Exception):
    """A file with a token is not text."""


class _InvalidKeyError(Exception):
    """The fetched credentials hold a character that no key has, or are not text."""


class Credentials:
    """
    The credentials of one connection.

    :param connection: says where they come from.
    """

    def __init__(self, connection: DswConnection) -> None:
        self._connection = connection
        self._lock = ProcessLock()
        self._client: Any = None
        self._current: Any = None
        self._good_until = float("-inf")

    @property
    def current(self) -> Any:
        """What was fetched last; None where it is time to ask again."""
        return self._current if time.monotonic() < self._good_until else None

    def get(self) -> Any:
        """
        Return credentials to sign with; blocks where they have to be fetched.

        :raises CredentialsError: where that fails.
        """
        with self._lock.current:
            return self.current or self._fetch()

    def renew(self, refused: Any) -> bool:
        """
        Fetch credentials again that have expired, once for all callers; return whether the new ones differ.

        :param refused: what was signed with.
        :raises CredentialsError: where that fails.
        """
        if self._connection.is_static:
            return False
        with self._lock.current:
            if self._current is refused:
                self._client = None
                self._fetch()
            return secrets_of(self._current) != secrets_of(refused)

    def equal(self, others: Credentials) -> bool:
        """
        Return whether those of an equal connection, which were fetched earlier, are the same; blocks as :meth:`get`.

        :raises CredentialsError: if they can't be fetched.
        """
        if self._connection.is_static:
            return True
        used, current = others._current, self.get()
        return used is not None and secrets_of(current) == secrets_of(used)

    def explain(self, outcome: T | Failure) -> T | Failure:
        """Return an outcome, with advice if it blames credentials that were fetched."""
        if not isinstance(outcome, Failure) or self._connection.is_static or not blames_credentials(outcome):
            return outcome
        return replace(outcome, advice=_advice(self._connection))

    def _fetch(self) -> Any:
        try:
            register_secrets(_role_request_secrets(self._connection))
            self._current = (
                _static(self._connection)
                if self._connection.is_static
                else _checked(self._library_client().get_credential())
            )
        except Exception as error:
            failure = _failure_of(error)
        else:
            lifetime = float("inf") if self._connection.is_static else REUSE_SECONDS
            self._good_until = time.monotonic() + lifetime
            return self._current
        raise CredentialsError(replace(failure, advice=_advice(self._connection)))

    def _library_client(self) -> Any:
        if self._client is None:
            self._client = _client(self._connection)
        return self._client

    def for_sdk(self) -> Any:
        """Return a credential client for the SDK's own calls, which fetches no others than these."""
        from alibabacloud_credentials.client import Client

        credentials = self

        class OfConnection(Client):
            def __init__(self) -> None:
                """Nothing is fetched before the first call."""

            def get_credential(self) -> Any:
                return credentials.get()

            async def get_credential_async(self) -> Any:
                from airflow_provider_dsw.client.threads import in_thread

                return await in_thread(self.get_credential)

            @property
            def cloud_credential(self) -> Any:
                with credentials._lock.current:
                    return credentials._library_client().cloud_credential

        return OfConnection()


def secrets_of(credential: Any) -> tuple[str, ...]:
    """Return what of fetched credentials must never leave."""
    return tuple(filter(None, (credential.access_key_secret, credential.security_token)))


def _checked(credential: Any) -> Any:
    """
    Return credentials that were fetched.

    :raises _InvalidKeyError: if they hold what no header can: the error to come would quote them.
    """
    for value in (credential.access_key_id, credential.access_key_secret, credential.security_token or "-"):
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise _InvalidKeyError
    return credential


def _static(connection: DswConnection) -> Any:
    """Return the keys that the connection holds, as the library would."""
    from alibabacloud_credentials.models import CredentialModel

    provider_name = {"access_key": "static_ak", "sts": "static_sts"}[connection.auth_type]
    return CredentialModel(**connection.credentials, provider_name=provider_name)


def _role_request_secrets(connection: DswConnection) -> Iterator[str]:
    """Return what is secret of that for which a role is granted: the token in the file, which the library reads."""
    path = connection.credentials.get("oidc_token_file_path")
    if path:
        # What else is wrong with the file, the library says.
        with suppress(OSError, ValueError):
            content = Path(path).read_bytes()
            try:
                yield content.decode().strip()
            except UnicodeDecodeError:
                raise _BinaryFileError(path) from None


def _client(connection: DswConnection) -> Any:
    """
    Return what fetches the credentials.

    What the library can't fetch, a provider of our own has to, as ``Client(provider=…)``, which the SDK's own client
    needs, too: an ``ICredentialsProvider`` of ``alibabacloud_credentials.client``, or a subclass of one in
    ``alibabacloud_credentials.provider``, whose ``get_credentials()`` returns the library's ``Credentials``, keeps them
    until minutes before their end, follows no redirect, reads 64 KB at most, and gives up after the connection's
    timeouts. A process that it starts gets neither this one's stdin, which may be Airflow's socket to the task, nor its
    stderr.
    """
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.models import Config

    if connection.auth_type in ("default", "ecs_ram_role"):
        return _client_without_thread(connection)
    timeouts = {
        "connect_timeout": round(connection.connect_timeout * 1000),
        "timeout": round(connection.read_timeout * 1000),
    }
    return Client(Config(type=connection.auth_type, **connection.credentials, **timeouts))


def _client_without_thread(connection: DswConnection) -> Any:
    """
    Return a client of the ECS instance's role, or of the default chain, which ends with that.

    The library would start a thread with each, which nothing ever ends, and its versions up to 1.0.8 at least
    take over SIGTERM and SIGINT, which fails outside the main thread and keeps Airflow from its own inside.
    """
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.provider import default

    ecs_ram_role = functools.partial(default.EcsRamRoleCredentialsProvider, async_update_enabled=False)
    if connection.auth_type == "ecs_ram_role":
        return Client(provider=ecs_ram_role(**connection.credentials))
    with _SUBSTITUTION.current:
        original, default.EcsRamRoleCredentialsProvider = default.EcsRamRoleCredentialsProvider, ecs_ram_role
        try:
            return Client()
        finally:
            default.EcsRamRoleCredentialsProvider = original


_SUBSTITUTION = ProcessLock()


def _drop_inherited_connections() -> None:
    """Let a forked child share none of its parent's connections, which the library keeps for the process."""
    for module, keeper in (("Tea.core", "TeaCore"), ("darabonba.core", "DaraCore")):
        sessions = getattr(getattr(sys.modules.get(module), keeper, None), "_sessions", None)
        if isinstance(sessions, dict):
            sessions.clear()


os.register_at_fork(after_in_child=_drop_inherited_connections)


def _advice(connection: DswConnection) -> str:
    auth_type = connection.auth_type
    if auth_type == "default":
        return (
            "auth_type 'default' finds the credentials where the task and the triggerer run: in the environment "
            "(ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN), a profile, "
            "or the role of the ECS instance."
        )
    if auth_type == "ecs_ram_role":
        return "auth_type 'ecs_ram_role' gets the credentials from the ECS instance it runs on, which needs a RAM role."
    names = {"access_key_id": "login", "access_key_secret": "password"}
    fields = (*REQUIRED_FIELDS[auth_type], *OPTIONAL_FIELDS.get(auth_type, ()))
    given = ", ".join(names.get(name, name) for name in fields if name in connection.credentials)
    return f"auth_type {auth_type!r} gets the credentials with these fields of the connection: {given}."


def _failure_of(error: BaseException) -> Failure:
    """Return what an exception of ``alibabacloud_credentials`` means; it was not the service that refused."""
    if type(error).__name__ == "CredentialException":
        return _failure_of_source(error)
    if isinstance(error, _InvalidKeyError):
        return _unavailable("what was fetched is not an Alibaba Cloud key")
    if isinstance(error, OSError) and error.filename:
        return _unavailable(f"{error.filename}: {error.strerror}")
    if isinstance(error, _BinaryFileError):
        return _unavailable(f"{error} is not text")
    if type(error) is ValueError:
        return _unavailable("")
    return Failure(cause=f"{NO_CREDENTIALS}: {network_cause(error, sent=True)}", sent=False)


def _failure_of_source(error: BaseException) -> Failure:
    """
    Say what kept the credentials from being fetched.

    Its text holds whole answers of STS, tokens included: only a Code is taken from it.
    """
    text = str(getattr(error, "message", ""))
    status = re.search(r"http_code[:=]\s*(\d{3})|HttpCode=(\d{3})", text)
    http_status = int(status[1] or status[2]) if status else None
    found = re.search(r'"Code"\s*:\s*"([A-Za-z0-9._-]{1,80})"', text)
    code = found[1] if found and found[1] != "Success" else ""
    if (http_status or 0) >= 500 or code.startswith("Throttling"):
        return Failure(http_status, code or None, cause=f"{NO_CREDENTIALS} now", sent=False)
    if "No cached value" in text:
        code = "they have already expired"
    return _unavailable(code, http_status)


def _unavailable(why: str, status: int | None = None) -> Failure:
    message = f"{NO_CREDENTIALS}{f' ({why})' if why else ''}"
    return Failure(status, "InvalidCredentials", message, sent=False)
