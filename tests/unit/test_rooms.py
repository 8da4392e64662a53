"""Each room of the package imports only rooms that lie below it, so that none can be understood only with another."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_dsw
from airflow_provider_dsw.waits.statuses import INSTANCE_STATUSES, SNAPSHOT_STATUSES

PACKAGE = Path(airflow_provider_dsw.__file__).parent
# From the ground up. A room is a folder or a module beside them; imports within functions and for types count too.
ROOMS = (
    "__init__",
    "arguments",
    "urls",
    "expressions",
    "client.connection_fields",  # a room of its own: Airflow loads it on every start
    "provider_info",
    "version_compat",
    "secrets",
    "exceptions",
    "waits",
    "validation",
    "wait_arguments",
    "details",
    "client",
    "hooks",
    "links",
    "polling",
    "task_end",
    "diagnostics",
    "triggers",
    "mixins",
    "sensors",
    "operators",
    "emulator",
)
# What a room without I/O, or one that is loaded with every Airflow, may import of others than Python's own.
PURE = {
    "waits": {"airflow_provider_dsw.arguments", "airflow_provider_dsw.expressions"},
    "validation": {
        "airflow_provider_dsw.arguments",
        "airflow_provider_dsw.expressions",
        "airflow_provider_dsw.urls",
        "airflow_provider_dsw.waits",
    },
    "client.connection_fields": set(),
    "arguments": set(),
    "urls": set(),
    "expressions": {"airflow_provider_dsw.arguments", "jmespath"},
}
STANDARD = {"collections", "dataclasses", "datetime", "enum", "hashlib", "json", "math", "re", "typing", "urllib"}
STANDARD |= {"__future__", "contextlib", "difflib", "functools", "os", "types"}
MOST_LINES = 300
# One documented method for each operation of the API: divided, it would have to be read in two places.
LONGER = {"hooks.dsw"}
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Return a module's room; its name is without that of the package."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Return the line and the module of each import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            base = node.module or ""
            for name in node.names:
                inner = PACKAGE.parent / f"{base}.{name.name}".replace(".", "/")
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield node.lineno, f"{base}.{name.name}" if is_module else base


def arrows(path: Path) -> Iterator[tuple[int, str]]:
    """Return the line and the room of each import of the package."""
    for line, module in imports_of(path):
        package, _, inner = module.partition(".")
        if package == PACKAGE.name:
            yield line, room_of(inner or "__init__")


def lines_of_code(path: Path) -> int:
    """Return how many lines are neither blank, nor a comment, nor a docstring."""
    with tokenize.open(path) as file:
        tokens = [token for token in tokenize.generate_tokens(file.readline) if token.type not in NO_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return len(lines)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_room() -> None:
    assert {room_of(module_name(path)) for path in FILES} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = room_of(module_name(path))
    upward = [
        f"line {line}: {other}"
        for line, other in arrows(path)
        if other != room and ROOMS.index(other) > ROOMS.index(room)
    ]
    assert not upward, f"{room} imports what lies above it: {upward}"


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_imports_neither_airflow_nor_http(room: str) -> None:
    allowed = PURE[room] | {f"{PACKAGE.name}.{room}"}
    for path in FILES:
        if room_of(module_name(path)) != room:
            continue
        foreign = {
            module
            for _, module in imports_of(path)
            if module.partition(".")[0] not in STANDARD
            and not any(f"{module}.".startswith(f"{name}.") for name in allowed)
        }
        assert not foreign, f"{path.name} imports {foreign}"


def test_what_a_status_means_is_said_in_waits_alone() -> None:
    """Others name no status: what one means to them is a predicate's name."""
    named = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for path in FILES
        if room_of(module_name(path)) not in ("waits", "emulator")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in {*INSTANCE_STATUSES, *SNAPSHOT_STATUSES}
    ]
    assert not named, (
        f"{named}: make it a predicate in waits/progress.py, or a wait in waits/operation_waits.py, and call that."
    )


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    lines = {module_name(path): lines_of_code(path) for path in FILES}
    too_long = {name for name, number in lines.items() if number > MOST_LINES}

    assert too_long - LONGER == set(), f"more than {MOST_LINES} lines of code: divide it by what it is about"
    assert LONGER - too_long == set(), "it need not be excepted any more"
