"""How a change is requested: once, though answers are lost, and tries are killed and repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from airflow_provider_dsw.exceptions import DswError, DswOperationFailedError, DswRequestError, DswTransientError
from airflow_provider_dsw.operators.stop_on_kill import StopOnKillMixin
from airflow_provider_dsw.polling import as_wait_error
from airflow_provider_dsw.waits.operations import SUBMIT_ATTEMPTS

CONFIRM_ATTEMPTS = 3
"""How often to look whether a request was performed whose answer is lost."""
CONFIRM_PAUSE = 5.0
"""Seconds between two such looks, at most."""
T = TypeVar("T")


class SubmissionMixin(StopOnKillMixin):
    """Requests a change, and finds out whether a request was performed whose answer is lost."""

    poke_interval: float
    confirm_attempts = CONFIRM_ATTEMPTS

    def _reset(self) -> None:
        super()._reset()
        # When this try has sent a request that was performed, or may have been.
        self._submitted_at: float | None = None

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except DswError as error:
            raise as_wait_error(self._build_wait(), error) from None

    def _submit(
        self, action: str, request: Callable[[], Mapping[str, Any]], find: Callable[[], T | None]
    ) -> tuple[Mapping[str, Any] | None, T | None]:
        """
        Send a request, and return its answer; or else what shows that it was performed all the same.

        After an error the service's state has the last word: an answer may be lost, and an earlier try of the task
        may have sent the request already. Its effect may be shown late.

        :param action: the API's name of the request.
        :param request: sends it.
        :param find: is called after an error. Looks for what shows that this request was performed; None if nothing
            does, but what was there before.
        """
        unclear = self._is_later_try
        for attempts_left in reversed(range(SUBMIT_ATTEMPTS)):
            if not self._may_submit:
                raise DswOperationFailedError(
                    f"{action} of {self.instance_id or 'a new instance'} was not sent: the task was ended. "
                    "Clear the task to request it again."
                )
            was_responsible, self._is_responsible = self._is_responsible, True
            submitted_at = time.time()
            try:
                answer = request()
            except DswError as error:
                earliest = time.time() + (getattr(error, "retry_after", None) or 0.0)
                lost = isinstance(error, DswTransientError) and error.may_have_been_performed
                if not lost:
                    self._is_responsible = was_responsible
                if not lost and not isinstance(error, DswRequestError):
                    raise as_wait_error(self._build_wait(), error) from None
                unclear = unclear or lost
                if lost:
                    self._submitted_at = self._submitted_at or submitted_at
                found, has_looked = self._confirm(find, self.confirm_attempts if unclear else 1)
                if found is not None:
                    self.log.info("An earlier attempt already submitted this request; resuming. %s", error)
                    if lost:
                        self._after_submit()
                    return None, found
                if not (lost and has_looked and attempts_left):
                    raise as_wait_error(self._build_wait(), error) from None
                self.log.warning("The service shows no sign of this request; sending it again. %s", error)
                time.sleep(max(earliest - time.time(), 0.0))
            else:
                self._submitted_at = submitted_at
                self._log_request(action, answer)
                self._after_submit()
                return answer, None
        raise AssertionError("unreachable")

    def _confirm(
        self, find: Callable[[], T | None], attempts: int, *, pauses_first: bool = False
    ) -> tuple[T | None, bool]:
        """Return what was found, and whether the service has answered at all."""
        has_looked = False
        for number in range(attempts):
            if number or pauses_first:
                time.sleep(min(self.poke_interval, CONFIRM_PAUSE))
            try:
                found = find()
            except DswError:
                continue
            has_looked = True
            if found is not None:
                return found, True
        return None, has_looked
