"""What Airflow itself makes of the provider: its connection form, and what `airflow providers` lists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_dsw.client import connection as connections
from airflow_provider_dsw.client.connection_fields import REQUIRED_FIELDS, secret_fields
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.secrets import is_secret_name
from tests.support.distribution import PROJECT, path_with_provider
from tests.unit.client.test_connection import FIELDS

# The public interface's, less those that stand in for login and password.
EXTRA = {
    *("region", "protocol", "network", "auth_type"),
    *("security_token", "role_arn", "role_session_name", "role_session_expiration", "policy", "external_id"),
    *("oidc_provider_arn", "oidc_token_file_path", "role_name", "credentials_uri", "sts_endpoint"),
    *("connect_timeout", "read_timeout"),
}
AUTH_TYPES = ["access_key", "sts", "ram_role_arn", "oidc_role_arn", "ecs_ram_role", "credentials_uri", "default"]
COMMANDS = ["list", "get", "hooks", "triggers", "links", "widgets", "behaviours"]

# The form as the UI's server makes it comes first: on 3.1 it has to be the first to ask Airflow for providers.
CODE = """
import contextlib, io, json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
[form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "dsw"]
found = {"form": form.model_dump(mode="json")}
from airflow.cli.cli_parser import get_parser
for command in COMMANDS:
    arguments = ["airflow-provider-dsw", "--full"] if command == "get" else []
    parsed = get_parser().parse_args(["providers", command, *arguments, "--output", "json"])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        parsed.func(parsed)
    found[command] = json.loads(out.getvalue())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def airflow_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the UI's server and the commands say, of an Airflow that finds the provider as it is installed."""
    environment = {**os.environ, "PYTHONPATH": path_with_provider(tmp_path_factory.mktemp("installed"))}
    code = f"COMMANDS = {COMMANDS!r}\n{CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def form(airflow_says):
    return airflow_says["form"]


def test_the_form_has_every_field_and_no_stray_one(form):
    assert form["hook_name"] == DswHook.hook_name
    assert set(form["extra_fields"]) == EXTRA
    assert next(iter(form["extra_fields"])) == "region"  # what everybody has to fill in


def test_each_field_says_what_it_is(form):
    for name, field in form["extra_fields"].items():
        assert field["schema"]["title"], name
        assert field["description"], name


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("protocol", ["https", "http"]),
        ("network", ["public", "vpc"]),
        ("auth_type", AUTH_TYPES),
    ],
)
def test_what_takes_few_values_is_a_choice_that_begins_with_the_default(name, choices, form):
    field = form["extra_fields"][name]

    assert field["schema"]["enum"] == choices
    assert field["value"] == choices[0]


def test_secrets_are_typed_unseen_and_hidden_by_airflow(form):
    secrets = {name for name, field in form["extra_fields"].items() if field["schema"].get("format") == "password"}

    assert secrets == {*secret_fields()}
    by_name = {name for name in form["extra_fields"] if is_secret_name(name)}
    assert by_name <= secrets, 'give these format="password", which alone declares a secret'
    assert "security_token" in by_name
    # Airflow hides what is in extra by its name alone.
    unhidden = [name for name in secrets if not re.search("token|secret|password", name)]
    assert unhidden == [], "Airflow would show these: have token, secret or password in their names"


def test_what_is_a_number_is_typed_as_one(form):
    kinds = {name: field["schema"]["type"] for name, field in form["extra_fields"].items()}

    numbers = {name for name, kind in kinds.items() if kind in (["number", "null"], ["integer", "null"])}
    assert numbers == {"connect_timeout", "read_timeout", "role_session_expiration"}
    assert all("null" in kind for kind in kinds.values())  # none has to be filled in


def test_the_standard_fields_are_named_after_the_key_and_the_schema_is_gone(form):
    standard = form["standard_fields"]

    assert standard["url_schema"]["hidden"] is True
    assert standard["port"] is None  # as Airflow shows it: a placeholder would look like a value that is needed
    assert (standard["login"]["title"], standard["password"]["title"]) == ("AccessKey id", "AccessKey secret")
    assert "endpoint" in standard["host"]["placeholder"]
    assert not any(standard[name] and standard[name]["hidden"] for name in ("host", "port", "login", "password"))


def test_what_the_form_saves_where_only_the_key_and_region_are_filled_in_is_a_connection(form):
    from airflow.sdk import Connection

    extra = {name: field["value"] for name, field in form["extra_fields"].items()} | {"region": "cn-hangzhou"}
    saved = Connection(conn_id="c", conn_type="dsw", login="k", password="s", extra=json.dumps(extra))

    assert connections.parse(saved).endpoint == "pai-dsw.cn-hangzhou.aliyuncs.com"


def test_the_description_of_auth_type_explains_each(form):
    explained = form["extra_fields"]["auth_type"]["description"]

    missing = [name for name in REQUIRED_FIELDS if not re.search(rf"\b{name}\b[^.]*:", explained)]
    assert missing == [], "explain it in the description of auth_type in form_fields()"


def test_each_description_names_the_auth_types_that_the_field_is_for(form):
    from airflow.sdk import Connection

    uses = {
        name: set(re.findall(r"\w+", " ".join(re.findall(r"(?:Needed|Taken) by ([^.]*)\.", field["description"]))))
        for name, field in form["extra_fields"].items()
    }
    for auth_type in form["extra_fields"]["auth_type"]["schema"]["enum"]:
        named = {name for name in EXTRA if auth_type in uses[name]}
        extra = {
            "region": "cn-hangzhou",
            **{name: FIELDS[name] for name in EXTRA if uses[name]},
            "auth_type": auth_type,
        }
        saved = Connection(conn_id="c", conn_type="dsw", login="k", password="s", extra=json.dumps(extra))

        assert set(connections.parse(saved).credentials) - {"access_key_id", "access_key_secret"} == named, auth_type


# The commands


def of_this(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("package_name") == PROJECT["name"]]


def test_the_provider_is_listed(airflow_says):
    [row] = [row for row in airflow_says["list"] if row["package_name"] == PROJECT["name"]]

    assert row["version"] == PROJECT["version"]


def test_the_provider_s_parts_are_shown(airflow_says):
    [info] = airflow_says["get"]

    for kind in ("hooks", "sensors", "operators", "triggers"):
        assert f"airflow_provider_dsw.{kind}.dsw" in str(info[kind])


def test_the_hook_and_its_connection_type_are_listed(airflow_says):
    [row] = of_this(airflow_says["hooks"])

    assert row["connection_type"] == "dsw"
    assert row["class"] == "airflow_provider_dsw.hooks.dsw.DswHook"
    assert row["conn_id_attribute_name"] == "dsw_conn_id"
    assert row["hook_name"] == "Alibaba Cloud PAI-DSW"


def test_the_triggers_are_listed(airflow_says):
    listed = {row["class"] for row in of_this(airflow_says["triggers"])}

    assert "airflow_provider_dsw.triggers.dsw" in str(listed)


def test_the_form_s_fields_are_listed(airflow_says):
    names = {row["connection_parameter_name"] for row in of_this(airflow_says["widgets"])}

    assert names == {f"extra__dsw__{name}" for name in EXTRA}
    assert [row for row in airflow_says["behaviours"] if "dsw" in str(row)]
