"""Tell Airflow which values are secret, so that its logs never show them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from airflow_provider_dsw.version_compat import amask_secret


class Masker:
    """Tells Airflow of secrets, of each once: it passes them on to the process that supervises this one."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, secrets: Iterable[str]) -> None:
        """Mask these; blocks until the supervisor has answered. In async code use :meth:`atell`."""
        from airflow.sdk.log import mask_secret

        for secret in self._untold(secrets):
            mask_secret(secret)

    async def atell(self, secrets: Iterable[str]) -> None:
        """Mask these, in the event loop."""
        for secret in self._untold(secrets):
            await amask_secret(secret)

    def _untold(self, secrets: Iterable[str]) -> list[str]:
        found = [secret for secret in dict.fromkeys(secrets) if secret and secret not in self._told]
        self._told.update(found)
        return found


class _WithoutTokens(logging.Filter):
    """Takes sharing tokens out of the URLs that urllib3 logs: what the worker's supervisor prints is not masked."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "Token=" in text:
            record.msg, record.args = re.sub(r"([?&]Token=)[^&\s]+", r"\1***", text), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutTokens())
