"""Telling Airflow of a hook's secrets, as a flow: it waits for the process that supervises this one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from airflow_provider_dsw.client.steps import AirflowCall, Flow
from airflow_provider_dsw.secrets import amask, mask, register_secrets


class Masker:
    """Tells Airflow of a hook's secrets, of each once."""

    def __init__(self) -> None:
        self._masked: set[str] = set()

    def mask(self, secrets: Iterable[str]) -> Flow[None]:
        """Mask these. It waits until the supervisor has answered, in the caller's own thread or event loop."""
        unmasked = [secret for secret in dict.fromkeys(secrets) if secret and secret not in self._masked]
        if unmasked:
            register_secrets(unmasked)
            yield AirflowCall(partial(mask, unmasked), partial(amask, unmasked))
            self._masked.update(unmasked)
