"""Secrets to use, and a search for them in whatever a run leaves behind."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_provider_dsw.emulator import SAMPLE_SECRET, DswEmulator

IMAGE_AUTH = "ZW11bGF0b3ItdXNlcjplbXVsYXRvci1zZWNyZXQtaW1hZ2U="
PAST = datetime(2020, 1, 1, tzinfo=UTC)

# The key of a secret in `new_secrets`, for each connection that there is.
CONNECTIONS = {
    "stored": "token",
    "environed": "token",
    "wrong": "token",
    "expired": "expired_token",
    "denied": "token",
}


def new_secrets() -> dict[str, str]:
    """Secrets that stand nowhere else, so that wherever one is found, it has leaked."""
    names = ("key", "token", "wrong_key", "expired_token", "sharing_token")
    return {name: secrets.token_hex(20) for name in names}


def teach(emulator: DswEmulator, known: dict[str, str]) -> None:
    """Let the emulator know the keys of all connections."""
    key, token = known["key"], known["token"]
    emulator.add_credential("id-of-good", key, security_token=token)
    emulator.add_credential("id-of-expired", key, security_token=known["expired_token"], expires=PAST)
    emulator.add_credential("id-of-denied", key, security_token=token, denied=["paidsw:GetInstance"])


def connection(emulator: DswEmulator, known: dict[str, str], name: str) -> dict[str, Any]:
    """A connection with one of the names of `CONNECTIONS`."""
    extra = {
        "protocol": emulator.protocol,
        "region": "cn-hangzhou",
        "auth_type": "sts",
        "security_token": known[CONNECTIONS[name]],
    }
    return emulator.connection() | {
        "login": f"id-of-{name if name in ('expired', 'denied') else 'good'}",
        "password": known["wrong_key" if name == "wrong" else "key"],
        "extra": extra,
    }


def leaks(known: dict[str, str], places: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """
    Return which secret was found where: those that are known, and those in an instance of the emulator's.

    :param places: name and content.
    """
    wanted = {**known, "of the instance": SAMPLE_SECRET, "ImageAuth": IMAGE_AUTH}
    wanted |= {f"{name} in Base64": base64.b64encode(value.encode()).decode() for name, value in known.items()}
    return {(name, place) for place, content in places for name, value in wanted.items() if value in content}


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """The path and the content of each file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes().decode(errors="replace")


def rows(database: Path) -> Iterator[tuple[str, str]]:
    """The table and the content of each row."""
    with contextlib.closing(sqlite3.connect(database)) as connected:
        tables = [name for (name,) in connected.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connected.execute(f'SELECT * FROM "{table}"'):
                yield f"table {table}", repr(row)
