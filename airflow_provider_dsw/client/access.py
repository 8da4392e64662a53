"""The result of looking up an Airflow connection, and when to look it up again."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_dsw.client import connection as connections
from airflow_provider_dsw.client.credentials import Credentials, CredentialsError
from airflow_provider_dsw.client.failures import Failure, from_look_up_exception
from airflow_provider_dsw.client.route import Route, route_to
from airflow_provider_dsw.client.steps import AirflowCall, BlockingCall, Exclusive, Flow
from airflow_provider_dsw.exceptions import DswConnectionError

if TYPE_CHECKING:
    from airflow_provider_dsw.client.masker import Masker

RENEWAL_PAUSE = 30.0
"""Seconds between two look-ups because access is denied: a watcher that is denied polls for ever."""


class Access:
    """
    One generation of a connection and its credentials, which all calls of a hook share until access is denied.

    :param connection: as it was looked up.
    """

    def __init__(self, connection: connections.DswConnection) -> None:
        self.connection = connection
        self.credentials = Credentials(connection)
        self.renewal_failure: Failure | None = None
        """Why the connection could not be looked up anew; what all who are denied meanwhile get."""
        self._looked_up_at = time.monotonic()
        self._renewable_at = float("-inf")
        self._was_accepted = False
        self._route: Route | None = None
        self._sdk_client: Any = None

    @property
    def route(self) -> Route:
        """
        The way to the service, as the environment has it at the first use.

        :raises RouteError: if there is none.
        """
        if self._route is None:
            self._route = route_to(self.connection.protocol, self.connection.endpoint)
        return self._route

    def sdk_client(self) -> Flow[Any]:
        """Return the SDK's client, made at the first use."""
        client = yield Exclusive("sdk client", self._make_sdk_client())
        return client

    def _make_sdk_client(self) -> Flow[Any]:
        if self._sdk_client is None:
            self._sdk_client = yield BlockingCall(partial(self.connection.sdk_client, self.credentials.for_sdk()))
        return self._sdk_client

    def mark_accepted(self) -> None:
        """Note that the service has not denied it: if it does later, that is worth a new look-up at once."""
        if not self._was_accepted:
            self._was_accepted, self._renewable_at = True, float("-inf")

    def is_renewable(self, since: float) -> bool:
        """
        Return whether a denial is a reason to look the connection up anew.

        :param since: when the call that was denied began, by the monotonic clock; a later look-up is new enough.
        """
        return self._looked_up_at < since and time.monotonic() >= self._renewable_at

    def begin_renewal(self) -> None:
        """Note that the connection is being looked up anew; nobody else does before the pause is over."""
        self._renewable_at = time.monotonic() + RENEWAL_PAUSE
        self.renewal_failure = None

    def successor(self, connection: connections.DswConnection) -> Access:
        """
        Return what takes its place: itself if neither the connection nor the credentials have changed.

        Blocks while credentials are fetched.

        :param connection: as it was looked up anew.
        :raises CredentialsError: if they can't be fetched.
        """
        new = Access(connection)
        if connection == self.connection and new.credentials.equal(self.credentials):
            return self
        new._renewable_at = self._renewable_at
        return new


class CurrentAccess:
    """
    The access of a hook: looked up at the first use, and anew when it is denied.

    :param conn_id: the Airflow connection's id.
    :param region: region id in place of the connection's own.
    :param masker: is told of the connection's secrets.
    """

    def __init__(self, conn_id: str, region: str | None, masker: Masker) -> None:
        self._conn_id = conn_id
        self._region = region
        self._masker = masker
        self.found: Access | None = None

    def load(self, look_up: AirflowCall) -> Flow[Access]:
        """
        Return the access, which is looked up at the first use.

        :param look_up: how Airflow looks the connection up.
        """
        return self.found or (yield Exclusive("access", self._load(look_up)))

    def renew(self, denied: Access, began: float, look_up: AirflowCall) -> Flow[Access | Failure]:
        """
        Return what to try again with, renewed once for all who were denied; `denied` itself if nothing is new.

        :param denied: what was denied.
        :param began: when the call began, by the monotonic clock.
        :param look_up: how Airflow looks the connection up.
        :raises DswConnectionError: if the connection is malformed by now.
        """
        try:
            found: Access | Failure = yield Exclusive("access", self._renew(denied, began, look_up))
        except TimeoutError as error:
            return from_look_up_exception(self._conn_id, error)
        return found

    def _load(self, look_up: AirflowCall) -> Flow[Access]:
        if self.found is None:
            self.found = Access((yield from self._look_up(look_up)))
        return self.found

    def _look_up(self, look_up: AirflowCall) -> Flow[connections.DswConnection]:
        connection = connections.parse((yield look_up), self._region)
        yield from self._masker.mask(connection.secrets)
        return connection

    def _renew(self, denied: Access, began: float, look_up: AirflowCall) -> Flow[Access | Failure]:
        if self.found is denied and denied.is_renewable(began):
            denied.begin_renewal()
            try:
                connection = yield from self._look_up(look_up)
                self.found = yield BlockingCall(partial(denied.successor, connection))
            except DswConnectionError:
                raise
            except CredentialsError as error:
                denied.renewal_failure = error.failure
            except Exception as error:
                denied.renewal_failure = from_look_up_exception(self._conn_id, error)
        if self.found is denied and denied.renewal_failure:
            return denied.renewal_failure
        return self.found or denied
