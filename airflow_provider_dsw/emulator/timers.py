"""What makes the service stop an instance: a timer, or idleness. Moments are those of the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_dsw.emulator.clock import Clock


@dataclass
class ShutdownTimer:
    created: float
    due: float
    speed: float  # how many of its seconds pass in one of the clock's

    def shown(self, instance_id: str, clock: Clock) -> dict[str, Any]:
        created = clock.stamp(self.created)
        return {
            "InstanceId": instance_id,
            "GmtCreateTime": created,
            "GmtModifiedTime": created,
            "DueTime": clock.stamp(self.due),
            "RemainingTimeInMs": max(0, round((self.due - clock.now()) * self.speed * 1000)),
        }


@dataclass
class IdleCuller:
    created: float
    speed: float
    max_idle_minutes: int
    cpu_percent: int | None = None
    gpu_percent: int | None = None

    def due(self, idle_since: float) -> float:
        return idle_since + self.max_idle_minutes * 60 / self.speed

    def shown(self, instance_id: str, clock: Clock, idle_since: float | None) -> dict[str, Any]:
        idle = 0.0 if idle_since is None else (clock.now() - idle_since) * self.speed / 60
        return {
            "InstanceId": instance_id,
            "CpuPercentThreshold": self.cpu_percent,
            "GpuPercentThreshold": self.gpu_percent,
            "MaxIdleTimeInMinutes": self.max_idle_minutes,
            "IdleTimeInMinutes": int(round(idle, 6)),  # 31 minutes may be 30.9999999 in floating point
        }
