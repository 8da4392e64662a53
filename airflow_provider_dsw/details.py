"""
What may leave: which details of an instance go on to the next task, and which values never do.

Pure functions over the service's answer. XComs are stored unmasked, so what is secret is replaced here,
before anything is selected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_dsw.suggest import nearest

# The top-level response elements of the GetInstance page (pai-dsw/2022-01-01), in its order.
DOCUMENTED_FIELDS = (
    "WorkspaceId",
    "WorkspaceName",
    "InstanceId",
    "InstanceName",
    "EcsSpec",
    "Status",
    "InstanceUrl",
    "JupyterlabUrl",
    "WebIDEUrl",
    "TerminalUrl",
    "AccumulatedRunningTimeInMs",
    "ImageId",
    "ImageUrl",
    "ImageName",
    "GmtCreateTime",
    "GmtModifiedTime",
    "UserId",
    "UserName",
    "Datasets",
    "UserVpc",
    "InstanceShutdownTimer",
    "ReasonCode",
    "ReasonMessage",
    "PaymentType",
    "LatestSnapshot",
    "AcceleratorType",
    "Accessibility",
    "EnvironmentVariables",
    "ResourceId",
    "ResourceName",
    "Priority",
    "RequestedResource",
    "Labels",
    "IdleInstanceCuller",
    "InstanceSnapshotList",
    "CloudDisks",
    "WorkspaceSource",
    "RequestId",
    "Success",
    "Message",
    "Code",
    "HttpStatusCode",
    "Driver",
    "NodeErrorRecovery",
    "CredentialConfig",
    "Affinity",
    "ImageAuth",
    "Tags",
    "DynamicMount",
    "ProxyPath",
    "UserCommandId",
    "ServiceConfig",
    "PodIps",
    "MigrationOptions",
    "AccessRestrictionRules",
    "DockerConfig",
    "TenantId",
)

DEFAULT_FIELDS = (
    "InstanceId",
    "InstanceName",
    "Status",
    "ReasonCode",
    "ReasonMessage",
    "WorkspaceId",
    "WorkspaceName",
    "AcceleratorType",
    "EcsSpec",
    "ResourceId",
    "ResourceName",
    "RequestedResource",
    "PaymentType",
    "Accessibility",
    "ImageId",
    "ImageName",
    "ImageUrl",
    "GmtCreateTime",
    "GmtModifiedTime",
    "AccumulatedRunningTimeInMs",
    "InstanceUrl",
    "JupyterlabUrl",
    "WebIDEUrl",
    "TerminalUrl",
    "LatestSnapshot",
    "RequestId",
)

# Paths to what is secret; every item where the value on the way is a list.
SECRET_PATHS = (
    ("CredentialConfig",),
    ("ImageAuth",),
    ("EnvironmentVariables",),
    ("ServiceConfig",),
    ("UserVpc", "ForwardInfos", "SSHPublicKey"),
    ("Datasets", "Options"),
)
REDACTED = "***"


def default_details(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of :data:`DEFAULT_FIELDS` that GetInstance's answer holds."""
    return {name: answer[name] for name in DEFAULT_FIELDS if name in answer}


def redact(answer: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a copy of GetInstance's answer with every secret value replaced by ``***``.

    Where a secret value is an object or a list its leaves are replaced, so that its shape stays visible.
    """
    redacted = dict(answer)
    for name, *path in SECRET_PATHS:
        if name in redacted:
            redacted[name] = _redact_at(redacted[name], path)
    return redacted


def _redact_at(value: Any, path: list[str]) -> Any:
    if isinstance(value, list):
        return [_redact_at(item, path) for item in value]
    if isinstance(value, Mapping):
        return {
            name: _redact_at(item, path[1:]) if not path or name == path[0] else item for name, item in value.items()
        }
    return value if path else REDACTED


def check_fields(fields: Collection[str] | Mapping[str, str] | None) -> None:
    """
    Check what a DAG author asks for, before anything runs.

    :param fields: None, field names, or a dict of name → JMESPath expression.
    :raises ValueError: on no field at all, an empty name, a name that the API page does not document (with
        the nearest that it does), or an expression that is not JMESPath.
    """
    if fields is None:
        return
    if isinstance(fields, str) or not isinstance(fields, Collection):
        raise ValueError(f"fields: {fields!r} is neither a list of field names nor a dict of name → JMESPath.")
    if not fields:
        raise ValueError("fields: empty. Leave it out for the default details, or name at least one field.")
    for name in fields:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"fields: {name!r} is no name.")
        if name == "return_value":
            raise ValueError(
                "fields: 'return_value' is the key under which Airflow keeps all of them. Name it otherwise."
            )
    if isinstance(fields, Mapping):
        for name, expression in fields.items():
            _compile(name, expression)
        return
    for name in fields:
        if name not in DOCUMENTED_FIELDS:
            raise ValueError(f"fields: GetInstance documents no field {name!r}.{nearest(name, DOCUMENTED_FIELDS)}")


def select(
    answer: Mapping[str, Any],
    fields: Collection[str] | Mapping[str, str] | None = None,
    *,
    include_sensitive: bool = False,
) -> dict[str, Any]:
    """
    Return the details that go on to the next task, in the order in which they were asked for.

    :param answer: GetInstance's answer.
    :param fields: as :func:`check_fields` takes them. None: the default details. Names: those, None for one
        that the answer lacks. A dict: each expression's value under its name.
    :param include_sensitive: leave secret values in.
    """
    if not include_sensitive:
        answer = redact(answer)
    if fields is None:
        return default_details(answer)
    if isinstance(fields, Mapping):
        return {name: _search(name, expression, answer) for name, expression in fields.items()}
    return {name: answer.get(name) for name in fields}


def _search(name: str, expression: str, answer: Mapping[str, Any]) -> Any:
    import jmespath

    try:
        return _compile(name, expression).search(answer)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"fields[{name!r}]: {expression!r} does not fit the answer: {error}") from None


def _compile(name: str, expression: object) -> Any:
    import jmespath

    if not isinstance(expression, str) or not expression.strip():
        raise ValueError(f"fields[{name!r}]: {expression!r} is no JMESPath expression.")
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"fields[{name!r}]: {expression!r} is not JMESPath: {error}") from None
