"""One hook a connection for all that waits in one event loop: the triggers of a triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_dsw.exceptions import DswTransientError
from airflow_provider_dsw.hooks.dsw import DswHook
from airflow_provider_dsw.version_compat import AirflowException

# The triggerer looks connections up one at a time, so a thousand triggers that start together share one
# look-up. One that starts later sees what was changed in the meantime.
LOOK_UP_REUSE = 30.0


@dataclass
class _LookUp:
    at: float
    task: asyncio.Task[DswHook]
    hook: DswHook | None = None


@dataclass
class _Hooks:
    look_ups: dict[tuple[str, str | None], _LookUp] = field(default_factory=dict)
    users: dict[DswHook, int] = field(default_factory=dict)


_hooks_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hooks] = WeakKeyDictionary()


@asynccontextmanager
async def shared_hook(dsw_conn_id: str, region: str | None = None) -> AsyncIterator[DswHook]:
    """
    Enter the hook that serves a connection in the running event loop; its last user closes it.

    :param dsw_conn_id: the connection's id.
    :param region: region id in place of the connection's own.
    :raises DswConnectionError: where the connection lacks a field.
    :raises DswTransientError: where Airflow can't look it up now.
    """
    hooks = _hooks_by_loop.setdefault(asyncio.get_running_loop(), _Hooks())
    look_up = await _look_up(hooks, dsw_conn_id, region)
    loaded = look_up.hook or look_up.task.result()
    hook = next((hook for hook in hooks.users if hook.connection == loaded.connection), loaded)
    # It looks itself up anew when access is denied; who comes next shall have that too.
    look_up.hook = hook
    if hook not in hooks.users:
        hooks.users[hook] = 0
        await hook.__aenter__()
    hooks.users[hook] += 1
    try:
        yield hook
    finally:
        hooks.users[hook] -= 1
        if not hooks.users[hook]:
            del hooks.users[hook]
            await hook.__aexit__()


async def _look_up(hooks: _Hooks, dsw_conn_id: str, region: str | None) -> _LookUp:
    key = (dsw_conn_id, region)
    look_up = hooks.look_ups.get(key)
    if look_up is None or time.monotonic() - look_up.at > LOOK_UP_REUSE:
        task = asyncio.ensure_future(DswHook(dsw_conn_id, region=region).aload())
        look_up = hooks.look_ups[key] = _LookUp(time.monotonic(), task)
    try:
        # Others wait for the same look-up: one that is cancelled must not take it from them.
        await asyncio.shield(look_up.task)
        return look_up
    except AirflowException:
        hooks.look_ups.pop(key, None)
        raise
    except Exception as error:
        hooks.look_ups.pop(key, None)
        error_name = type(error).__name__
    raise DswTransientError(f"Airflow can't look up connection {dsw_conn_id!r} now ({error_name}).")
