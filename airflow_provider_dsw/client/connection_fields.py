"""
A connection's fields: which there are, what each auth_type makes of them, and how Airflow's form shows them.

Airflow 3.2 and later read the form from the provider's metadata, 3.1 from the hook's methods: both are made of
this. It imports nothing, because ``import airflow`` itself loads the metadata.
"""

from __future__ import annotations

from typing import Any

CONN_TYPE = "dsw"
OFFICIAL_CONN_TYPE = "alibaba_cloud"  # of Airflow's own provider for Alibaba Cloud
HOOK_NAME = "Alibaba Cloud PAI-DSW"
PROTOCOLS = ("https", "http")
NETWORKS = ("public", "vpc")
DEFAULT_CONNECT_TIMEOUT = 5.0
DEFAULT_READ_TIMEOUT = 10.0
MIN_ROLE_SESSION_SECONDS = 900

# What each auth_type can't do without, and what else it takes, under alibabacloud_credentials' own names.
REQUIRED_FIELDS = {
    "access_key": ("access_key_id", "access_key_secret"),
    "sts": ("access_key_id", "access_key_secret", "security_token"),
    "ram_role_arn": ("access_key_id", "access_key_secret", "role_arn"),
    "oidc_role_arn": ("role_arn", "oidc_provider_arn", "oidc_token_file_path"),
    "ecs_ram_role": (),
    "credentials_uri": ("credentials_uri",),
    "default": (),
}
_ROLE_SESSION = ("role_session_name", "role_session_expiration", "policy", "sts_endpoint")
OPTIONAL_FIELDS = {
    "access_key": ("security_token",),  # which makes it sts
    "ram_role_arn": ("security_token", "external_id", *_ROLE_SESSION),
    "oidc_role_arn": _ROLE_SESSION,
    "ecs_ram_role": ("role_name",),
}


def form_fields() -> dict[str, dict[str, Any]]:
    """Return the fields of extra for the metadata's ``conn-fields``, in the form's order."""
    return {
        "region": _field(
            "Region", "Region id, e.g. cn-hangzhou. Needed unless there is a host, which takes the region's place."
        ),
        "network": _choice_field("Network", "vpc: the region's endpoint inside Alibaba Cloud's VPCs.", NETWORKS),
        "protocol": _choice_field("Protocol", "http is for an emulator on the same machine.", PROTOCOLS),
        "auth_type": _choice_field(
            "Authentication",
            "Where credentials come from. access_key: AccessKey id and secret, in the Standard "
            "Fields. sts: with a security token too. "
            "ram_role_arn, oidc_role_arn: a role that STS grants. ecs_ram_role: the role of the ECS instance that "
            "Airflow runs on. credentials_uri: a local server. default: environment, files and roles, as the SDK "
            "finds them.",
            tuple(REQUIRED_FIELDS),
        ),
        "security_token": _field("Security token", _for("security_token", "Expires."), format="password"),
        "role_arn": _field("Role ARN", _for("role_arn", "The role to assume, e.g. acs:ram::123:role/airflow.")),
        "role_session_name": _field(
            "Role session name", _for("role_session_name", "What ActionTrail calls the session.")
        ),
        "role_session_expiration": _field(
            "Role session duration",
            _for("role_session_expiration", f"Seconds, {MIN_ROLE_SESSION_SECONDS} or more; 3600 where empty."),
            json_type="integer",
            minimum=MIN_ROLE_SESSION_SECONDS,
        ),
        "policy": _field("Role session policy", _for("policy", "A RAM policy in JSON that narrows the role's.")),
        "external_id": _field("External id", _for("external_id", "Where the role's trust policy asks for one.")),
        "oidc_provider_arn": _field(
            "OIDC provider ARN", _for("oidc_provider_arn", "E.g. acs:ram::123:oidc-provider/ack-rrsa.")
        ),
        "oidc_token_file_path": _field(
            "OIDC token file", _for("oidc_token_file_path", "Its path where the task and the triggerer run.")
        ),
        "role_name": _field("ECS role name", _for("role_name", "Empty: the role that the instance has.")),
        "credentials_uri": _field(
            "Credentials URI", _for("credentials_uri", "A server that hands out temporary credentials.")
        ),
        "sts_endpoint": _field(
            "STS endpoint", _for("sts_endpoint", "Host, always called by https; sts.aliyuncs.com where empty.")
        ),
        "connect_timeout": _seconds_field("Connect timeout", DEFAULT_CONNECT_TIMEOUT),
        "read_timeout": _seconds_field("Read timeout", DEFAULT_READ_TIMEOUT),
    }


def secret_fields() -> tuple[str, ...]:
    """Return the fields of extra that are secret: those that the form shows as a password."""
    return tuple(name for name, field in form_fields().items() if field["schema"].get("format") == "password")


def extra_keys() -> tuple[str, ...]:
    """Return all that is read of extra: the form's fields, and where the official provider keeps the AccessKey."""
    return (*form_fields(), "access_key_id", "access_key_secret")


def field_behaviour() -> dict[str, Any]:
    """Return what becomes of the form's standard fields, for the metadata's ``ui-field-behaviour``."""
    return {
        "hidden-fields": ["schema"],
        "relabeling": {"login": "AccessKey id", "password": "AccessKey secret"},
        "placeholders": {"host": "only in place of the region's own endpoint, e.g. 127.0.0.1"},
    }


def _field(label: str, description: str, *, json_type: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [json_type, "null"], **schema}}


def _choice_field(label: str, description: str, known: tuple[str, ...]) -> dict[str, Any]:
    return _field(label, description, default=known[0], enum=list(known))


def _seconds_field(label: str, default: float) -> dict[str, Any]:
    return _field(label, "Seconds.", json_type="number", default=default, minimum=0)


def _for(name: str, description: str) -> str:
    """Begin a description with the auth_types that the field is for."""
    needed_by = [auth_type for auth_type, names in REQUIRED_FIELDS.items() if name in names]
    taken_by = [auth_type for auth_type, names in OPTIONAL_FIELDS.items() if name in names]
    uses = [f"{verb} by {', '.join(by)}" for verb, by in (("Needed", needed_by), ("Taken", taken_by)) if by]
    return ". ".join([*uses, description])
