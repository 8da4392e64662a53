"""No secret leaves: each type of credentials, with each operation, in success and in each kind of failure."""

from __future__ import annotations

from itertools import product

import pytest

from tests.system.faults.calls import ID, OPERATIONS
from tests.system.faults.faults import FAULTS, TYPICAL
from tests.unit.client.test_credentials import KINDS, Kind, Servers, servers, tls  # noqa: F401 - fixtures
from tests.unit.test_secrets_generated import everything_logged, forget, last_used, shown

SUCCESS, REFUSED = "success", "the credentials are refused"
PAIRS = list(product(KINDS, OPERATIONS))
# In each run of CI every fifth, which takes every type and every operation several times.
SAMPLE = [(kind, name) for kind, name in PAIRS if (KINDS.index(kind) + list(OPERATIONS).index(name)) % 5 == 0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "operation"), SAMPLE, ids=str)
@pytest.mark.usefixtures("no_pauses")
def test_no_error_and_no_log_shows_a_secret(
    kind: Kind,
    operation: str,
    servers: Servers,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for failure in (SUCCESS, *TYPICAL, REFUSED):
        forget(monkeypatch)
        servers.emulator.clear_faults()
        servers.emulator.add_instance(ID)  # anew, since an operation may have deleted it
        with everything_logged() as log:
            hook = servers.hook(kind)
            hook.get_instance(ID)
            known = sorted({*servers.secrets, *last_used(servers.emulator)})
            if failure == REFUSED:
                kind.refuse(servers)
            elif failure != SUCCESS:
                echo = {"message": " ".join(known), "request_id": known[-1]}
                servers.emulator.fault(times=None, **echo | FAULTS[failure].given)
            texts = shown(hook, OPERATIONS[operation].call)
        assert servers.leaked(*texts, *log.said, capfd.readouterr()) == [], failure
