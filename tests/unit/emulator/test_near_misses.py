"""A name that may be mistyped is a warning where a test gives it, and is served all the same."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_dsw.emulator import DswEmulator
from airflow_provider_dsw.emulator.instance import template
from airflow_provider_dsw.emulator.statuses import INSTANCE_STATUSES, SNAPSHOT_STATUSES
from airflow_provider_dsw.waits import documented_fields, statuses

Use = Callable[[DswEmulator], Any]
RUNNING = "'Runing' is not an instance status. Did you mean 'Running'?"
SAVED = "'saved' is not a snapshot status. Did you mean 'Saved'?"
REASON = "GetInstance documents no field 'ReasonCod'. Did you mean 'ReasonCode'?"


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda emulator: emulator.add_instance("dsw-b", "Runing"), RUNNING),
        (lambda emulator: emulator.add_instance("dsw-b", timeline=[("Starting", 1), ("Runing", None)]), RUNNING),
        (lambda emulator: emulator.add_instance("dsw-b", per_poll=["Runing"]), RUNNING),
        (lambda emulator: emulator.add_instance("dsw-b", Status="Runing"), RUNNING),
        (lambda emulator: emulator.set_instance("dsw-a", "Runing"), RUNNING),
        (lambda emulator: emulator.set_instance("dsw-a", options={"start_timeline": ["Runing"]}), RUNNING),
        (lambda emulator: setattr(emulator, "start_timeline", [("Runing", None)]), RUNNING),
        (lambda emulator: DswEmulator(next_starts=[["Creating", "Runing"]]), RUNNING),
        (lambda emulator: setattr(emulator, "snapshot_timeline", ["saved"]), SAVED),
        (lambda emulator: emulator.add_snapshot("dsw-a", "snp-b", "saved"), SAVED),
        (lambda emulator: emulator.set_snapshot("dsw-a", "snp-a", "saved"), SAVED),
        (lambda emulator: emulator.add_instance("dsw-b", ReasonCod="NoStock"), REASON),
        (lambda emulator: emulator.add_instance("dsw-b", omit=["ReasonCod"]), REASON),
        (lambda emulator: emulator.set_instance("dsw-a", ReasonCod="NoStock"), REASON),
        (
            lambda emulator: emulator.set_instance("dsw-a", timeline=[("Failed", None, {"ReasonCod": "NoStock"})]),
            REASON,
        ),
        (
            lambda emulator: emulator.add_instance("dsw-b", timelines=["Running"]),
            "no field 'timelines'. Did you mean 'timeline'?",
        ),
    ],
)
def test_a_name_near_to_a_known_one_is_one_warning_at_the_line_that_gives_it(
    emulator: DswEmulator, use: Use, told: str
) -> None:
    emulator.add_instance("dsw-a")
    emulator.add_snapshot("dsw-a", "snp-a")

    with pytest.warns(UserWarning, match=re.escape(told)) as found:
        use(emulator)

    assert [warning.filename for warning in found] == [__file__]


def test_it_is_served_all_the_same(emulator: DswEmulator, caller: Any) -> None:
    with pytest.warns(UserWarning, match="It is served as it is"):
        emulator.add_instance("dsw-abc", "Runing", ReasonCod="NoStock")

    answer = caller.get("dsw-abc")

    assert (answer["Status"], answer["ReasonCod"]) == ("Runing", "NoStock")


def test_a_name_that_is_known_or_like_none_is_no_warning(emulator: DswEmulator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for status in (*sorted(INSTANCE_STATUSES), "Hibernating", None):
            emulator.add_instance("dsw-a", timeline=[(status, None)])
        for status in sorted(SNAPSHOT_STATUSES):
            emulator.add_snapshot("dsw-a", status=status)
        fields: dict[str, Any] = {**dict.fromkeys(template(), "x"), "Status": "Running", "Brandnew": 1}
        emulator.add_instance("dsw-b", **fields)


def test_the_names_that_are_known_are_those_that_the_package_waits_for() -> None:
    assert frozenset(statuses.INSTANCE_STATUSES) == INSTANCE_STATUSES
    assert frozenset(statuses.SNAPSHOT_STATUSES) == SNAPSHOT_STATUSES
    assert set(documented_fields.DOCUMENTED_FIELDS) == set(template())
