"""OpenSSH's server on loopback, with keys, a port and settings of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes
from tests.support.processes import HOST, free_port
from tests.support.until import wait_until

# Debian keeps it off the PATH of those who are not root.
PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
MISSING = "sshd is missing: apt-get install -y openssh-server"
# Where its children that are not logged in yet are locked up. Its service would make it.
_EMPTY = Path("/run/sshd")


@dataclass(frozen=True)
class Sshd:
    """
    A server that runs.

    :param directory: where it keeps everything.
    :param port: of ``127.0.0.1``.
    """

    directory: Path
    port: int

    @property
    def connection(self) -> dict[str, object]:
        """Airflow's connection to it, but for its host. The server's key is checked."""
        return {
            "conn_type": "ssh",
            "host": "elsewhere.invalid",
            "login": getpass.getuser(),
            "port": self.port,
            "extra": {
                "private_key": (self.directory / "user_key").read_text(),
                "host_key": (self.directory / "host_key.pub").read_text(),
                "look_for_keys": False,
            },
        }

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Sshd]:
    """
    Run one for a `with` block: who runs the tests may log in, by a key of the connection.

    :param directory: an empty directory.
    """
    assert PROGRAM, MISSING
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    sshd = Sshd(directory, free_port())
    settings = {
        "ListenAddress": f"{HOST}:{sshd.port}",
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "user_key.pub",
        "PidFile": "none",
        "AuthenticationMethods": "publickey",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",  # everybody may write in the directory above a temporary one
        "UsePAM": "no",
        "UseDNS": "no",
    }
    (directory / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with _empty_directory(), (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "-D", "-e", "-f", str(directory / "sshd_config")],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until(lambda: "Server listening" in sshd.log or process.poll() is not None)
            assert process.poll() is None, f"sshd has ended:\n{sshd.log}"
            yield sshd
        finally:
            processes.end([process])


@contextlib.contextmanager
def _empty_directory() -> Iterator[None]:
    if os.geteuid() != 0 or _EMPTY.exists():
        yield
        return
    _EMPTY.mkdir(mode=0o755)
    try:
        yield
    finally:
        _EMPTY.rmdir()
