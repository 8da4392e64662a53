"""What an Airflow connection gave when it was looked up, and when it is to be looked up anew."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_dsw.hooks.connection import DswConnection
from airflow_provider_dsw.hooks.credentials import Credentials
from airflow_provider_dsw.hooks.errors import Failure

RENEWAL_PAUSE = 30.0
"""Seconds between two look-ups because access is denied: a watcher that is denied polls for ever."""


class Access:
    """
    One generation of a connection and its credentials, which all calls of a hook share until access is denied.

    :param connection: as it was looked up.
    """

    def __init__(self, connection: DswConnection) -> None:
        self.connection = connection
        self.credentials = Credentials(connection)
        self.renewal_failure: Failure | None = None
        """Why the connection could not be looked up anew; what all who are denied meanwhile get."""
        self._looked_up_at = time.monotonic()
        self._renewable_at = float("-inf")
        self._was_let_in = False
        self._sdk_client: Any = None

    @property
    def sdk_client(self) -> Any:
        """The SDK's client, made at the first use."""
        if self._sdk_client is None:
            self._sdk_client = self.connection.sdk_client(self.credentials.for_sdk())
        return self._sdk_client

    def let_in(self) -> None:
        """Note that the service has not denied it: if it does later, that is worth a new look-up at once."""
        if not self._was_let_in:
            self._was_let_in, self._renewable_at = True, float("-inf")

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

    def successor(self, connection: DswConnection) -> Access:
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
