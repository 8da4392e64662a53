"""What the DAG that uses secrets and its test agree on."""

from __future__ import annotations

from typing import Any

from tests.system.live.cases import DEFER, FROM_TRIGGER, POKE

WAYS: dict[str, dict[str, Any]] = {"poke": POKE, "deferred": DEFER, "from_trigger": FROM_TRIGGER}
DENIED = ("wrong", "expired", "denied")
SECRET_FIELDS = ["CredentialConfig", "ImageAuth", "EnvironmentVariables", "ServiceConfig", "UserVpc", "Datasets"]
