"""Tell Airflow which values are secret, so that its logs never show them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from functools import partial

from airflow_provider_dsw.client.steps import Do, Flow
from airflow_provider_dsw.version_compat import amask_secret


class Masker:
    """Tells Airflow of secrets, of each once: it passes them on to the process that supervises this one."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def mask(self, secrets: Iterable[str]) -> Flow[None]:
        """Mask these. It waits until the supervisor has answered, in the caller's own thread or event loop."""
        untold = [secret for secret in dict.fromkeys(secrets) if secret and secret not in self._told]
        if untold:
            yield Do(partial(_mask, untold), partial(_amask, untold))
            self._told.update(untold)


def _mask(secrets: Sequence[str]) -> None:
    from airflow.sdk.log import mask_secret

    for secret in secrets:
        mask_secret(secret)


async def _amask(secrets: Sequence[str]) -> None:
    for secret in secrets:
        await amask_secret(secret)


class _WithoutTokens(logging.Filter):
    """Takes sharing tokens out of the URLs that urllib3 logs: what the worker's supervisor prints is not masked."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "Token=" in text:
            record.msg, record.args = re.sub(r"([?&]Token=)[^&\s]+", r"\1***", text), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutTokens())
