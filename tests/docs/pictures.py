"""
Take the README's pictures anew, from the real screens: `python -m tests.docs.pictures`.

It needs Chromium and playwright (the extra `dev`), takes two minutes, and writes .github/task_page.png and
.github/dsw_emulator_run.png. Look at them before you commit them.
"""

from __future__ import annotations

import html
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.docs.readme import ROOT, block
from tests.docs.test_standalone import Client
from tests.support.processes import HOST, free_port
from tests.support.until import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

EMULATOR = [sys.executable, "-m", "airflow_provider_dsw.emulator.cli"]
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "35": "#d2a8ff"}
TERMINAL = """<body style="margin: 0; background: #0d1117">
<pre style="margin: 0; padding: 18px 22px; color: #e6edf3; font: 14px/1.4 'DejaVu Sans Mono', monospace">{}</pre>"""


@contextmanager
def chromium(width: int, height: int) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": width, "height": height}, locale="en-US")
        browser.close()


def take_task_page() -> None:
    """The page of a task that waits, with its links."""
    port = free_port()
    starts = "dsw-starting=Creating:5,ResourceAllocating:900,Running"
    command = [*EMULATOR, "standalone", "--ui-port", str(port), "--instance", starts, "--instance", "dsw-saving"]
    url = f"http://{HOST}:{port}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(url in line for line in process.stdout)
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would hold it up
            airflow = Client(url)
            task = airflow.trigger("dsw_wait_for_running") + "/taskInstances/wait_for_running"
            wait_until(lambda: airflow.get(task)["state"] == "deferred")
            with chromium(1200, 430) as page:
                page.goto(f"{url}/dags/dsw_wait_for_running/runs/by-hand/tasks/wait_for_running/details")
                page.get_by_role("link", name="JupyterLab").wait_for()
                page.get_by_text("Deferred").first.wait_for()
                page.wait_for_timeout(3000)  # milliseconds: the grid beside it comes last
                page.screenshot(path=ROOT / ".github/task_page.png")
        finally:
            process.send_signal(signal.SIGINT)


def take_run() -> None:
    """The README's first command on a terminal; of the details that a task returned only the first are left."""
    (command,) = re.findall(r"dsw-emulator run .*", block("bash", "dsw-emulator run example_dags/"))
    screen = on_a_terminal([*EMULATOR, *shlex.split(command)[1:]])
    screen = re.sub(r"((?:^    .*\n){4})(?:^    .*\n)+", r"\1    …\n", screen, flags=re.MULTILINE)
    with chromium(880, 200) as page:
        page.set_content(TERMINAL.format(as_html(f"$ {command}\n{screen.rstrip()}")))
        page.locator("pre").screenshot(path=ROOT / ".github/dsw_emulator_run.png")


def on_a_terminal(command: list[str]) -> str:
    """What a command shows on a terminal, with its escape sequences."""
    ours, its = pty.openpty()
    shown = b""
    with subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its, env={**os.environ, "TERM": "xterm"}):
        os.close(its)
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # the terminal's other end is closed
            pass
    return shown.decode().replace("\r\n", "\n")


def as_html(shown: str) -> str:
    def coloured(found: re.Match[str]) -> str:
        return f'<span style="color: {COLOURS[found[1]]}">{found[2]}</span>'

    return re.sub(r"\x1b\[(\d+)m(.*?)\x1b\[0m", coloured, html.escape(shown, quote=False))


if __name__ == "__main__":
    take_task_page()
    take_run()
