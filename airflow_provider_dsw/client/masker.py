"""Telling Airflow of a hook's secrets, as a flow: it waits for the process that supervises this one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from airflow_provider_dsw.client.steps import Do, Flow
from airflow_provider_dsw.secrets import amask, know, mask


class Masker:
    """Tells Airflow of a hook's secrets, of each once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def mask(self, secrets: Iterable[str]) -> Flow[None]:
        """Mask these. It waits until the supervisor has answered, in the caller's own thread or event loop."""
        untold = [secret for secret in dict.fromkeys(secrets) if secret and secret not in self._told]
        if untold:
            know(untold)
            yield Do(partial(mask, untold), partial(amask, untold))
            self._told.update(untold)
