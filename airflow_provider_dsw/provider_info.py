"""What Airflow learns of this provider without importing it."""

from __future__ import annotations

from typing import Any

from airflow_provider_dsw import __version__
from airflow_provider_dsw.client import connection_fields

_INTEGRATION = "Alibaba Cloud PAI-DSW"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as Airflow's ``provider_info.schema.json`` wants it."""
    return {
        "package-name": "airflow-provider-dsw",
        "name": _INTEGRATION,
        "description": "Create, start, save, stop and delete notebook instances of PAI-DSW, and wait for them.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.alibabacloud.com/help/en/pai/user-guide/dsw-overview",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_dsw.hooks.dsw"]}],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_dsw.sensors.dsw"]}],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_dsw.triggers.dsw"]}],
        "operators": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_dsw.operators.dsw"]}],
        "connection-types": [
            {
                "connection-type": connection_fields.CONN_TYPE,
                "hook-class-name": "airflow_provider_dsw.hooks.dsw.DswHook",
                "hook-name": connection_fields.HOOK_NAME,
                "conn-fields": connection_fields.form_fields(),
                "ui-field-behaviour": connection_fields.field_behaviour(),
            },
        ],
        "extra-links": [
            f"airflow_provider_dsw.links.dsw.{name}"
            for name in (
                "DswInstanceLink",
                "DswJupyterLabLink",
                "DswWebIdeLink",
                "DswTerminalLink",
                "DswConsoleLink",
            )
        ],
    }
