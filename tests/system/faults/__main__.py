"""Run the whole matrix, and print what came of it."""

from __future__ import annotations

import argparse
import logging
import time

import pytest
import structlog

import tests.conftest  # noqa: F401 - before anything imports airflow
from tests.system.faults import matrix
from tests.system.faults.service import Bed, Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="run each so many-th cell only")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    server = Server()
    with server, pytest.MonkeyPatch.context() as monkeypatch:
        report = matrix.run(Bed(monkeypatch, server), given.every)
    for line in (*report.wrong, *report.lines(), f"{time.monotonic() - began:.0f} s"):
        print(line)
    return 1 if report.wrong else 0


raise SystemExit(main())
