"""What all runs have: the hook, the time, and how they look and ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_dsw.details import redact
from airflow_provider_dsw.exceptions import DswError, DswInstanceNotFoundError, DswRequestError
from airflow_provider_dsw.operators.submission import CONFIRM_ATTEMPTS, CONFIRM_PAUSE
from airflow_provider_dsw.waits.operations import Baseline
from airflow_provider_dsw.waits.progress import REVERSALS, has_failed, is_being_deleted
from airflow_provider_dsw.waits.statuses import RUNNING
from tests.live.observations import KEPT, Attempt, Look, Observations, Operation
from tests.live.recorder import RecordingHook
from tests.live.variables import Variables


class NotTried(Exception):
    """Why a run stops short: not because of an assumption."""


class Session:
    """
    One account that is tried.

    :param hook: of its connection.
    :param now: tells seconds; with `sleep`, another time than the machine's.
    """

    def __init__(
        self,
        variables: Variables,
        hook: RecordingHook,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.variables = variables
        self.limits = variables.limits
        self.hook = hook
        self.seen = Observations(exchanges=hook.exchanges)
        self.now = now
        self.sleep = sleep

    def look(self, instance_id: str) -> Look:
        at = self.now()
        try:
            answer = self.hook.get_instance(instance_id)
            return Look(at, redact({name: value for name, value in answer.items() if name in KEPT}))
        except DswInstanceNotFoundError:
            return Look(at, {})

    def look_before(self, instance_id: str) -> list[Look]:
        """Look twice, some time apart: so long at least has the state lasted."""
        first = self.look(instance_id)
        self.sleep(self.limits.poll)
        return [first, self.look(instance_id)]

    def follow(
        self,
        operation: Operation,
        target: str | None,
        limit: float,
        each: Callable[[Look], object] = lambda look: None,
    ) -> None:
        """
        Look until the target is reached, or no longer can be, and some times more: an old state may come back.

        :param target: a status; None: the instance is not found any more.
        :param limit: seconds.
        :param each: is called with each look before that.
        """
        began, left = self.now(), False
        while self.now() - began < limit:
            look = self.look(operation.instance_id)
            operation.looks.append(look)
            if look.status == target and (target or not look.answer):
                operation.is_complete = True
                break
            stale = bool(operation.before) and Baseline.of(operation.before[-1].answer).is_stale(look.answer)
            ends = has_failed(look.answer) or is_being_deleted(look.answer) or (left and look.status in REVERSALS)
            if target == RUNNING and ends and not stale:
                break
            left = left or not (stale or look.status in REVERSALS)
            each(look)
            first = len(operation.looks) < CONFIRM_ATTEMPTS
            self.sleep(min(self.limits.poll, CONFIRM_PAUSE) if first else self.limits.poll)
        for _ in range(CONFIRM_ATTEMPTS if target and operation.is_complete else 0):
            self.sleep(self.limits.poll)
            operation.looks.append(self.look(operation.instance_id))


def request(call: Callable[..., Any], *arguments: Any, **more: Any) -> Attempt:
    """Send a request, and return whether the service accepts it; another trouble than a refusal is raised."""
    try:
        call(*arguments, **more)
    except (DswRequestError, DswInstanceNotFoundError) as error:
        return Attempt(error)
    return Attempt()


def refusal(call: Callable[..., Any], *arguments: Any, **more: Any) -> Attempt:
    """As `request`, but whatever goes wrong is the answer."""
    try:
        call(*arguments, **more)
    except DswError as error:
        return Attempt(error)
    return Attempt()
