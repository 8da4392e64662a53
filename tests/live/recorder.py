"""A hook that keeps each answer of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

from airflow_provider_dsw.hooks.dsw import DswHook
from tests.live.observations import Exchange

if TYPE_CHECKING:
    from airflow_provider_dsw.client.api import ApiCall
    from airflow_provider_dsw.client.pool import Pool
    from airflow_provider_dsw.client.steps import Flow
    from airflow_provider_dsw.client.transport import Outcome


class RecordingHook(DswHook):
    """
    The hook itself.

    :param exchanges: where each call is added.
    """

    def __init__(self, dsw_conn_id: str, exchanges: list[Exchange]) -> None:
        super().__init__(dsw_conn_id)
        self.exchanges = exchanges

    def _call(self, call: ApiCall, *arguments: Any, **more: Any) -> dict[str, Any]:
        self.exchanges.append(Exchange(call.request.action))
        return super()._call(call, *arguments, **more)

    def _exchange(self, call: ApiCall, began: float, pool: Pool) -> Flow[Outcome]:
        outcome = yield from super()._exchange(call, began, pool)
        self.exchanges[-1].outcomes.append(outcome)
        return outcome


@contextmanager
def one_nonce() -> Iterator[None]:
    """Let all requests have one nonce, as if the network sent one of them again."""
    nonce = uuid4()
    with patch("airflow_provider_dsw.client.signature.uuid", SimpleNamespace(uuid4=lambda: nonce)):
        yield
