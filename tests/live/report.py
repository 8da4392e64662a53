"""The report: what was found of each assumption, and the answers that it rests on, without what is secret."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_dsw.client.failures import Failure
from airflow_provider_dsw.details import SECRET_FIELDS, SECRET_KEYS, redact, secrets_in
from airflow_provider_dsw.secrets import MIN_SECRET_LENGTH, clean
from airflow_provider_dsw.urls import HIDDEN, hide_secrets
from airflow_provider_dsw.waits.assumptions import ASSUMPTIONS
from tests.live.checks import Answer, Finding
from tests.live.observations import KEPT, Observations

LISTS = ("Instances", "Snapshots")  # of which each item is an instance or a snapshot
SECRET = (*SECRET_FIELDS, *SECRET_KEYS)  # the fields that hold what is secret
COLUMNS = 140
MOST_ITEMS = 5  # of a list
_LINE = 2_000  # characters
_RECORD = 64_000
_ACCOUNT = r"(?<![\dA-Za-z])\d{15,17}(?![\dA-Za-z])"


class Report:
    """
    :param endpoint: which service has answered.
    :param findings: by the assumption's name.
    :param secrets: what is secret of the connection, its AccessKey id too.
    """

    def __init__(
        self, endpoint: str, findings: Mapping[str, Finding], seen: Observations, secrets: Iterable[str]
    ) -> None:
        self.endpoint = endpoint
        self._exchanges = seen.exchanges
        # An error may echo what is secret of an instance.
        answers = [each for exchange in seen.exchanges for each in exchange.outcomes if isinstance(each, Mapping)]
        instances = [item for answer in answers for item in (answer, *_items(answer, *LISTS))]
        secret_fields = ({name: each[name] for name in SECRET if name in each} for each in instances)
        echoed = {secret for each in secret_fields for secret in secrets_in(each) if len(secret) >= MIN_SECRET_LENGTH}
        self._secrets = {*secrets, *echoed}
        self.findings = {name: Finding(each.answer, self._scrub(each.words)) for name, each in findings.items()}
        self.left_out = seen.left_out
        self.stopped_short = {run: self._scrub(why) for run, why in seen.stopped_short.items()}

    def summary(self) -> list[str]:
        """Return a line for each assumption, and what else there is to know."""
        width, answers = max(map(len, ASSUMPTIONS)), max(len(each.value) for each in Answer)
        margin = " " * (answers + 2 + width + 2)
        lines = [
            textwrap.fill(f"{answer.value:{answers}}  {name:{width}}  {words}", COLUMNS, subsequent_indent=margin)
            for name, (answer, words) in self.findings.items()
        ]
        count = Counter(answer for answer, _ in self.findings.values())
        numbers = f"{count[Answer.HOLDS]} hold, {count[Answer.DOES_NOT_HOLD]} do not, {count[Answer.NOT_SEEN]} not seen"
        notes = [f"{run} was left out: {why}" for run, why in self.left_out.items()]
        notes += [f"{run} stopped short: {why}" for run, why in self.stopped_short.items()]
        return [f"Assumptions about the service, as {self.endpoint} has answered: {numbers}.", *lines, *notes]

    def text(self) -> str:
        """Return the file's content: the summary, and each recorded answer as a line of JSON."""
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        recorded = [self._scrub(json.dumps(each, ensure_ascii=False), _RECORD) for each in self._recorded()]
        return "\n".join([at, *self.summary(), "", "Recorded answers, without what is secret:", *recorded, ""])

    def _recorded(self) -> Iterator[dict[str, Any]]:
        for exchange in self._exchanges:
            for outcome in exchange.outcomes:
                yield {
                    "action": exchange.action,
                    **(_error(outcome) if isinstance(outcome, Failure) else _kept(outcome)),
                }

    def _scrub(self, text: str, longest: int = _LINE) -> str:
        return re.sub(_ACCOUNT, HIDDEN, hide_secrets(clean(text, longest, also=self._secrets)))


def _kept(answer: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: [redact(item) for item in _items(answer, name)][:MOST_ITEMS] for name in LISTS if name in answer}
    others = {name: value for name, value in answer.items() if name not in LISTS}
    kept: dict[str, Any] = _only_kept({**redact(others), **lists})
    return kept


def _items(answer: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    for name in names:
        items = answer.get(name)
        yield from (item for item in items if isinstance(item, Mapping)) if isinstance(items, list) else ()


def _only_kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_only_kept(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _only_kept(item) for name, item in value.items() if name in KEPT}
    others = sorted({*value} - {*kept})
    return {**kept, "other fields": others} if others else kept


def _error(failure: Failure) -> dict[str, Any]:
    # It may echo the string that was signed: headers, and with them tokens.
    message = HIDDEN if (failure.code or "").startswith("SignatureDoesNotMatch") else failure.message
    said = {
        "HTTP": failure.status,
        "Code": failure.code,
        "Message": message,
        "RequestId": failure.request_id,
        "retry after": failure.retry_after,
        "cause": failure.cause,
    }
    return {name: value for name, value in said.items() if value is not None}
