"""The ECS specifications that ListEcsSpecs answers."""

from __future__ import annotations

from typing import Any

from airflow_provider_dsw.emulator import listing
from airflow_provider_dsw.emulator.backend import Backend
from airflow_provider_dsw.emulator.calls import OperationCall, envelope
from airflow_provider_dsw.emulator.errors import invalid

# Made up, but for the names: type, CPUs, GB, price an hour, GPUs, GPU type.
_SPECS = (
    ("ecs.c6.large", 2, 4.0, 0.39, 0, ""),
    ("ecs.g6.xlarge", 4, 16.0, 1.0, 0, ""),
    ("ecs.gn6i-c4g1.xlarge", 4, 15.0, 11.63, 1, "T4"),
    ("ecs.gn7i-c8g1.2xlarge", 8, 30.0, 12.71, 1, "A10"),
)


def list_ecs_specs(backend: Backend, call: OperationCall) -> dict[str, Any]:
    """All are available, unless there is no stock for the next request."""
    accelerator = call.query.get("AcceleratorType")
    if accelerator not in ("CPU", "GPU"):
        raise invalid("AcceleratorType is required: CPU or GPU.")
    specs: list[dict[str, Any]] = [
        {
            "InstanceType": name,
            "AcceleratorType": "GPU" if gpus else "CPU",
            "CPU": cpus,
            "Memory": memory,
            "GPU": gpus,
            "GPUType": gpu_type,
            "GPUMemorySize": 16.0 * gpus,
            "SystemDiskCapacity": 100,
            "InstanceBandwidthRx": 10240,
            "Price": price,
            "Currency": "CNY",
            "IsAvailable": not backend.no_stock,
            "SpotStockStatus": "NoStock" if backend.no_stock else "WithStock",
            "Labels": [],
        }
        for name, cpus, memory, price, gpus, gpu_type in _SPECS
        if bool(gpus) == (accelerator == "GPU")
    ]
    page = listing.page(specs, call.query)
    return {**envelope(call), "HttpStatusCode": 200, "TotalCount": len(specs), "EcsSpecs": list(page)}
