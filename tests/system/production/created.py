"""The emulator, with a say in what becomes of the instances that pipelines create."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dsw.emulator import Clock, DswEmulator, Fault, Request
from airflow_provider_dsw.emulator.faults import Answer
from airflow_provider_dsw.emulator.signature import SignedRequest


@dataclass
class Plan:
    """
    What becomes of the instances of one name.

    :param no_stock: how many creations are refused for lack of stock.
    :param start: the way of a new one.
    :param options: of each; see the emulator's `Options`.
    :param held: by the action: what keeps the answer to the first such request.
    :param faults: by the action: what requests get, as arguments of `fault`.
    :param instances: the ids of those that were created.
    """

    no_stock: int = 0
    start: list[tuple[Any, ...]] = field(default_factory=lambda: [("Creating", 1), ("Running", None)])
    options: dict[str, Any] = field(default_factory=dict)
    held: dict[str, Fault] = field(default_factory=dict)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    instances: list[str] = field(default_factory=list)

    def hold(self, action: str) -> Fault:
        """Perform the first request for this action, and keep its answer until the fault's `release()`."""
        return self.held.setdefault(action, Fault(action, hold=True))


class AdvancingClock(Clock):
    """The time of this machine, and so much more."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class PlannedEmulator(DswEmulator):
    """An emulator that follows a plan for each name of an instance to be created."""

    clock: AdvancingClock

    def __init__(self, **arguments: Any) -> None:
        super().__init__(clock=AdvancingClock(), **arguments)
        self.plans: dict[str, Plan] = {}

    def is_planned(self, request: Request) -> bool:
        """Whether a request is about an instance that has a plan."""
        created = {instance_id for plan in self.plans.values() for instance_id in plan.instances}
        return request.action == "CreateInstance" or request.instance_id in created

    def answer(self, signed_request: SignedRequest) -> tuple[Answer, Fault | None, Request]:
        plan = self._plan(signed_request)
        if plan is None:
            return super().answer(signed_request)
        with self._lock:
            before, self.no_stock = self.no_stock, min(plan.no_stock, 1)
            plan.no_stock = max(plan.no_stock - 1, 0)
            answer, fault, entry = super().answer(signed_request)
            self.no_stock = before
            if entry.status == 200:
                self._begin(json.loads(answer.body)["InstanceId"], plan)
                held = plan.held.get("CreateInstance")
                if held and held.matches("CreateInstance", None, self.clock.now(), before_auth=False):
                    held.hits += 1
                    fault = held
        return answer, fault, entry

    def _plan(self, signed_request: SignedRequest) -> Plan | None:
        if (signed_request.method, signed_request.path) != ("POST", "/api/v2/instances"):
            return None
        return self.plans.get(json.loads(signed_request.body).get("InstanceName"))

    def _begin(self, instance_id: str, plan: Plan) -> None:
        plan.instances.append(instance_id)
        self.set_instance(instance_id, timeline=plan.start, options=plan.options)
        for action, arguments in plan.faults.items():
            self.fault(action, instance_id, **arguments)
        for held in plan.held.values():
            if held.action != "CreateInstance":
                held.instance_id = instance_id
                self._faults.append(held)
