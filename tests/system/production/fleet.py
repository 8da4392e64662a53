"""Many waits at once, and what has become of them: lost, ended wrongly, twice, or asked for without need."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import count
from typing import Any

from airflow_provider_dsw.emulator import Request
from tests.system.live.real_airflow import ENDED, PATIENCE, wait_until
from tests.system.production.bed import Bed
from tests.system.production.wave import STARTS, TASKS


@dataclass(frozen=True)
class Wave:
    """
    The waits of one DAG run.

    :param run_id: of the run.
    :param instances: of each task.
    """

    run_id: str
    instances: dict[str, str]

    @property
    def starts(self) -> list[str]:
        """The instances that its tasks start."""
        return [instance_id for task_id, instance_id in self.instances.items() if TASKS[task_id] in STARTS]


@dataclass(frozen=True)
class Faults:
    """
    What may not be.

    :param lost: tasks that never ended.
    :param wrong: tasks that ended otherwise than in success, or with another result.
    :param twice: tasks that succeeded more than once.
    :param unasked: requests that nobody asked for.
    :param events_lost: changes that no watcher has fired for.
    :param events_twice: events beyond one for each change.
    """

    lost: int = 0
    wrong: int = 0
    twice: int = 0
    unasked: int = 0
    events_lost: int = 0
    events_twice: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Outcome:
    """
    What has become of some waves, and of one change of each watched instance.

    :param waits: how many tasks and watchers there were.
    :param ended: how many tasks ended.
    :param events: how many events the watchers fired.
    :param faults: what may not be.
    :param polls: how many were made, of all waits.
    :param longest_gap: seconds between two polls of one wait.
    :param to_the_end: seconds from the change of the instances to the end of the last task.
    :param window: seconds from the last writing of a watcher's memory to its event, the longest.
    :param notes: which tasks and requests are among the faults.
    """

    waits: int
    ended: int
    events: int
    faults: Faults
    polls: int
    longest_gap: float
    to_the_end: float
    window: float
    notes: list[str]


class Fleet:
    """
    Waves of waits, and the watchers.

    :param bed: where they wait.
    """

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.waves: list[Wave] = []  # that have not ended
        self._numbers = count()
        self._began = time.monotonic()
        self._arrived = datetime.now(UTC)
        self._events_before: Counter[str] = Counter()

    def launch(self, number: int = 1) -> list[Wave]:
        """Begin so many more waves."""
        launched = [self._launch(f"wave-{next(self._numbers)}") for _ in range(number)]
        self.waves += launched
        return launched

    def _launch(self, name: str) -> Wave:
        instances = {task_id: f"dsw-{name}-{task_id}" for task_id in TASKS}
        for task_id, instance_id in instances.items():
            self.bed.emulator.add_instance(instance_id, "Stopped" if TASKS[task_id] in STARTS else "Starting")
        return Wave(self.bed.airflow.trigger("wave", wave=name).run_id, instances)

    def wait_until_deferred(self) -> None:
        """Wait until every task waits in a triggerer, and every watcher has seen that its instance is Stopped."""
        began = time.monotonic()
        for instance_id in self.bed.watched:
            self.bed.emulator.set_instance(instance_id, "Stopped")
        self._wait_for(self.waves, frozenset({"deferred"}))
        self.bed.wait_until_polled(_instances(self.waves))
        self.bed.wait_until_polled(self.bed.watched, more=2, since=began)

    def begin(self) -> None:
        """From now on it is counted."""
        self._began = time.monotonic()
        self._events_before = self._events()

    def arrive(self, waves: Iterable[Wave]) -> None:
        """Let the instances of some waves, and the watched ones, be Running."""
        self._arrived = datetime.now(UTC)
        for instance_id in [*_instances(waves), *self.bed.watched]:
            self.bed.emulator.set_instance(instance_id, "Running")

    def outcome(self, waves: Sequence[Wave]) -> Outcome:
        """Wait until some waves have ended and all others are polled again, and count."""
        self.waves = [wave for wave in self.waves if wave not in waves]
        with suppress(AssertionError):  # who is late is counted
            self._wait_for(waves, ENDED)
            wait_until(lambda: self._new_events().keys() >= set(self.bed.watched), PATIENCE, lambda: "", interval=1)
        self.bed.wait_until_polled(_instances(self.waves))
        tasks = self._tasks(waves)
        ended = [task for task in tasks if task["state"] in ENDED]
        events = self._new_events()
        polls = self.bed.emulator.calls("GetInstance")
        requests = [request for request in self.bed.emulator.requests if not self.bed.emulator.is_planned(request)]
        unasked = [request for request in _unasked(requests) if request.time > self._began]
        wrong = [task for task in ended if (task["state"], task["status"]) != ("success", "Running")]
        ends = [datetime.fromisoformat(task["end_date"]) for task in ended]
        return Outcome(
            waits=(len(waves) + len(self.waves)) * len(TASKS) + len(self.bed.watched),
            ended=len(ended),
            events=events.total(),
            faults=Faults(
                lost=len(waves) * len(TASKS) - len(ended),
                wrong=len(wrong),
                twice=sum(task["results"] > 1 for task in tasks),
                unasked=len(unasked),
                events_lost=sum(not events[name] for name in self.bed.watched),
                events_twice=sum(max(events[name] - 1, 0) for name in self.bed.watched),
            ),
            polls=sum(poll.time > self._began for poll in polls),
            longest_gap=_longest_gap(polls, self._began),
            to_the_end=max((end - self._arrived).total_seconds() for end in ends) if ends else 0.0,
            window=self._window(),
            notes=[
                *(f"{request.wall:%H:%M:%S} {request.action} of {request.instance_id}" for request in unasked),
                *(
                    f"{task['run_id']} {task['task_id']}: {task['state']}"
                    for task in tasks
                    if task["state"] not in ENDED
                ),
                *(f"{task['run_id']} {task['task_id']}: {task['state']} {task['status']}" for task in wrong),
                *(f"{name}: {events[name]} events" for name in self.bed.watched if events[name] != 1),
            ],
        )

    def _wait_for(self, waves: Sequence[Wave], states: frozenset[str]) -> None:
        def others() -> Counter[str]:
            found = Counter(task["state"] for task in self._tasks(waves))
            missing = len(waves) * len(TASKS) - found.total()
            return Counter({state: number for state, number in found.items() if state not in states}) + Counter(
                {"not there yet": missing}
            )

        patience = PATIENCE + 3 * len(waves) * len(TASKS)  # what the table has is more than a test's
        wait_until(lambda: not others(), patience, lambda: f"{dict(others())}, not {set(states)}", interval=2)

    # What lies in the database

    def _tasks(self, waves: Iterable[Wave]) -> list[dict[str, Any]]:
        runs = ", ".join(f"'{wave.run_id}'" for wave in waves)
        return self.bed.database.query(f"""
            select t.run_id, t.task_id, t.state, t.end_date, x.value ->> 'Status' as status,
                (select count(*) from asset_event e
                    where (e.source_dag_id, e.source_run_id, e.source_task_id) = (t.dag_id, t.run_id, t.task_id)
                ) as results
            from task_instance t left join xcom x
                on (x.dag_id, x.run_id, x.task_id, x.key) = (t.dag_id, t.run_id, t.task_id, 'return_value')
            where t.dag_id = 'wave' and t.run_id in ({runs})
        """)

    def watching_triggerer(self) -> str:
        """Return the triggerer that runs most of the watchers."""
        rows = self.bed.database.query("""
            select j.hostname, count(*) from job j join trigger t on t.triggerer_id = j.id
                join asset_watcher w on w.trigger_id = t.id group by j.hostname order by count(*) desc
        """)
        return str(rows[0]["hostname"])

    def _events(self) -> Counter[str]:
        """Return how many each watcher has fired."""
        rows = self.bed.database.query(f"select a.name, count(*) from {_WATCHERS_EVENTS} group by a.name")
        return Counter({f"dsw-{row['name']}": row["count"] for row in rows})

    def _new_events(self) -> Counter[str]:
        return self._events() - self._events_before

    def _window(self) -> float:
        (row,) = self.bed.database.query(f"""
            select coalesce(max(extract(epoch from e.timestamp - s.updated_at)), 0) as seconds
            from {_WATCHERS_EVENTS} join asset_state_store s on s.asset_id = a.id and s.key not like '% claim: %'
            where e.id in (select max(id) from asset_event group by asset_id)
        """)
        return float(row["seconds"])


_WATCHERS_EVENTS = "asset_event e join asset a on a.id = e.asset_id and a.name like 'watched-%'"


def _instances(waves: Iterable[Wave]) -> list[str]:
    return [instance_id for wave in waves for instance_id in wave.instances.values()]


def _unasked(requests: Iterable[Request]) -> Iterator[Request]:
    """What changes an instance, but for one start of each that a task is to start; one that failed may be repeated."""
    started: set[str | None] = set()
    for request in requests:
        if request.method == "GET":
            continue
        is_to_start = "-start" in str(request.instance_id) and request.instance_id not in started
        if request.action != "StartInstance" or not is_to_start:
            yield request
        elif request.status is not None and request.status < 500:
            started.add(request.instance_id)


def _longest_gap(polls: Iterable[Request], began: float) -> float:
    """Return the most seconds between two polls of one instance, the later one of which was made since."""
    last: dict[str | None, float] = {}
    longest = 0.0
    for poll in polls:
        if poll.time > began and poll.instance_id in last:
            longest = max(longest, poll.time - last[poll.instance_id])
        last[poll.instance_id] = poll.time
    return longest
