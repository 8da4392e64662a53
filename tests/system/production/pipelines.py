"""
Pipelines on instances that live as long as the work: create, wait for SSH, work, save the image, delete.

Each goes through what its way says, and nothing of it may be left.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dsw.waits.operations import SUBMIT_ATTEMPTS
from tests.system.live.real_airflow import PATIENCE, Run, wait_until
from tests.system.production.bed import WORKER, Bed
from tests.system.production.created import Plan

# What each step asks for. While it waits for SSH, a step asks for nothing.
STEPS = {
    "create": "CreateInstance",
    "wait_for_ssh": None,
    "work": "UpdateInstanceLabels",
    "snapshot": "CreateInstanceSnapshot",
    "delete": "DeleteInstance",
}
NEVER = 10**9
NO_STOCK = "out of stock"
REASON = "Resource queue timeout, lack of sufficient resources"
_numbers = itertools.count()


def quick() -> Plan:
    """Return the plan of instances that do what they do in a second, and whose failures give no reason."""
    options = {
        "start_timeline": [("Starting", 1), ("Running", None)],
        "snapshot_timeline": [("Pushing", 1), ("Saved", None)],
        "stop_timeline": [("Stopping", 1), ("Stopped", None)],
        "delete_timeline": [("Deleting", 1), (None, None)],
        "saved_seconds": 0,
        "unique_image_urls": True,
        "failure_reasons": False,
        "failure_event": REASON,
    }
    return Plan(options=options)


@dataclass
class Pipeline:
    """
    One run of the DAG.

    :param bed: where it runs.
    :param run: the run.
    :param plan: what becomes of its instances.
    """

    bed: Bed
    run: Run
    plan: Plan

    @property
    def instance_id(self) -> str:
        """The only instance that it has created."""
        (instance_id,) = self.plan.instances
        return instance_id

    def wait_until_held(self, step: str) -> None:
        """Wait until a step, in a worker, has asked and is not answered; or has found that SSH is not ready."""
        action = STEPS[step]
        if action:
            fault = self.plan.held[action]
            wait_until(lambda: fault.hits, PATIENCE, lambda: f"no {action}: {self.run.states()}\n{self.run.logs()}")
            return
        self.run.wait("running", task_id=step)
        self.bed.wait_until_polled([self.instance_id])

    def release(self, step: str) -> None:
        """Let a step that is held go on."""
        action = STEPS[step]
        if action:
            self.plan.held[action].release()
        else:
            self.bed.emulator.set_instance(self.instance_id, options={"ssh_seconds": 0})

    def clear_when_held(self, step: str) -> None:
        """Clear a step in the middle of it, and let the next try go on."""
        self.wait_until_held(step)
        (before,) = self.run.tasks(step)
        self.run.clear(step)
        wait_until(lambda: self.run.tasks(step)[0]["try_number"] > before["try_number"], PATIENCE, self.run.logs)
        self.release(step)

    def end(self) -> dict[str, str]:
        """Wait for the end of the run, and return each task's state."""
        self.run.wait_for_end()
        return {task["task_id"]: task["state"] for task in self.run.tasks()}

    def logs(self, task_id: str) -> str:
        """Return what the task's page shows of all its tries."""
        (task,) = self.run.tasks(task_id)
        return "\n".join(self.run.log(task_id, try_number=number + 1) for number in range(task["try_number"]))

    def left(self) -> list[str]:
        """Return the instances that it has created and that are still there."""
        return [instance_id for instance_id in self.plan.instances if self.bed.emulator.status(instance_id)]

    def faults(self, states: dict[str, str], says: dict[str, str]) -> list[str]:
        """
        Wait for the end, and return what is not as it has to be.

        :param states: of the tasks that are not to end in success.
        :param says: what has to stand in the log, by task.
        """
        expected = dict.fromkeys(STEPS, "success") | states
        found = self.end()
        wrong = [f"{task_id}: {found[task_id]}" for task_id, state in expected.items() if found[task_id] != state]
        wrong += [
            f"no {text!r} in the log of {task_id}" for task_id, text in says.items() if text not in self.logs(task_id)
        ]
        if len(self.plan.instances) != 1:
            wrong.append(f"created: {self.plan.instances}")
        return wrong + [f"left: {instance_id}" for instance_id in self.left()]


def launch(bed: Bed, plan: Plan) -> Pipeline:
    """Begin a run with this plan."""
    name = f"pipeline_{next(_numbers)}"
    bed.emulator.plans[name] = plan
    return Pipeline(bed, bed.airflow.trigger("ephemeral", name=name), plan)


@dataclass(frozen=True)
class Way:
    """
    What a pipeline goes through.

    :param title: what it is, for people.
    :param plan: makes its plan.
    :param states: of the tasks that do not end in success.
    :param says: what the log says, by task.
    :param then: what is done to it while it runs.
    """

    title: str
    plan: Callable[[], Plan]
    states: dict[str, str] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)
    then: Callable[[Pipeline], None] = lambda pipeline: None

    def launch(self, bed: Bed) -> Pipeline:
        """Begin a run that goes this way."""
        return launch(bed, self.plan())

    def faults(self, pipeline: Pipeline) -> list[str]:
        """Do what is to be done to the run, wait for its end, and return what is not as it has to be."""
        self.then(pipeline)
        return pipeline.faults(self.states, self.says)


def planned(**changes: Any) -> Callable[[], Plan]:
    """Return what makes a plan with these changes; `options` are added to the others."""

    def make() -> Plan:
        plan = quick()
        plan.options |= changes.get("options", {})
        for name, value in changes.items():
            if name != "options":
                setattr(plan, name, value)
        return plan

    return make


def held_at(steps: Iterable[str]) -> Callable[[], Plan]:
    """Return what makes a plan by which each of these steps is held."""

    def make() -> Plan:
        plan = quick()
        for step in steps:
            action = STEPS[step]
            if action:
                plan.hold(action)
            else:
                plan.options["ssh_seconds"] = NEVER
        return plan

    return make


def fail_when_held(pipeline: Pipeline) -> None:
    """Let the instance fail while a step waits for SSH."""
    pipeline.wait_until_held("wait_for_ssh")
    pipeline.bed.emulator.set_instance(pipeline.instance_id, "Failed")


def cleared(*steps: str) -> Way:
    """Return the way of a pipeline each of whose steps named here is cleared in the middle of it."""

    def clear_each(pipeline: Pipeline) -> None:
        for step in steps:
            pipeline.clear_when_held(step)

    return Way(f"cleared in {', '.join(steps)}", held_at(steps), then=clear_each)


UPSTREAM = {"snapshot": "upstream_failed"}
FAILS_TO_START: list[tuple[Any, ...]] = [("Queuing", 1), ("Failed", None)]
FAILS_TO_PUSH = {"next_snapshots": [[("Pushing", 1), ("Failed", None)]]}
# So often in one try, by which it fails.
FAILS_TO_DELETE = {"DeleteInstance": {"times": SUBMIT_ATTEMPTS, "status": 503, "message": "The region is being moved"}}
NOT_PUSHED, NOT_DELETED, NO_WORK = "is Failed", "region is being moved", "no such file"
WORK_FAILS = {"UpdateInstanceLabels": {"times": None, "status": 400, "message": NO_WORK}}
# By the step that fails. What a retry can mend ends green; what it can't ends the run, without its instance.
FAILING = {
    "create": Way("the instance does not start", planned(start=FAILS_TO_START), says={"create": REASON}),
    "wait_for_ssh": Way(
        "the instance fails before SSH is ready",
        held_at(["wait_for_ssh"]),
        {"wait_for_ssh": "failed", "work": "upstream_failed", **UPSTREAM},
        {"wait_for_ssh": REASON},
        fail_when_held,
    ),
    "work": Way(
        "the work fails",
        planned(faults=WORK_FAILS),
        {"work": "failed", **UPSTREAM},
        {"work": NO_WORK},
    ),
    "snapshot": Way("the image is not pushed", planned(options=FAILS_TO_PUSH), says={"snapshot": NOT_PUSHED}),
    "delete": Way("the service can't delete", planned(faults=FAILS_TO_DELETE), says={"delete": NOT_DELETED}),
}
WITHOUT_STOCK = Way("no stock for the first three asks", planned(no_stock=3), says={"create": NO_STOCK})
CLEARED = (cleared("create", "wait_for_ssh", "work"), cleared("snapshot", "delete"))
KILLED = {step: Way(f"kill -9 of its worker in {step}", held_at([step])) for step in STEPS}
# The same in fewer runs.
MENDED = Way(
    "no push, no deletion",
    planned(options=FAILS_TO_PUSH, faults=FAILS_TO_DELETE),
    says={"snapshot": NOT_PUSHED, "delete": NOT_DELETED},
)
NOT_MENDED = Way(
    "no start, and then the work fails",
    planned(start=FAILS_TO_START, faults=WORK_FAILS),
    {"work": "failed", **UPSTREAM},
    {"create": REASON, "work": NO_WORK},
)


def kill_worker(bed: Bed, held: Mapping[str, Pipeline]) -> None:
    """Kill the worker of pipelines that are held, by the step, and start another one."""
    for step, pipeline in held.items():
        pipeline.wait_until_held(step)
    bed.airflow.kill_component(WORKER)
    for step, pipeline in held.items():
        pipeline.release(step)
    bed.airflow.start_component(WORKER)
