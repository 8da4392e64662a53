"""One hook a connection for all that waits in one event loop: the triggers of a triggerer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_dsw.hooks.dsw import DswHook, look_up_error
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


def shared_hook(dsw_conn_id: str, region: str | None = None) -> _Use:
    """
    Return, to be entered, the hook that serves a connection in the running event loop; its last user closes it.

    Entering raises :class:`~airflow_provider_dsw.exceptions.DswConnectionError` where the connection lacks a field,
    and :class:`~airflow_provider_dsw.exceptions.DswTransientError` where Airflow can't look it up now.

    :param dsw_conn_id: the connection's id.
    :param region: region id in place of the connection's own.
    """
    return _Use(dsw_conn_id, region)


class _Use:
    """A use of a hook, which each wait holds for as long as it lasts: a generator would be four times as large."""

    __slots__ = ("_dsw_conn_id", "_hook", "_region")

    def __init__(self, dsw_conn_id: str, region: str | None) -> None:
        self._dsw_conn_id = dsw_conn_id
        self._region = region

    async def __aenter__(self) -> DswHook:
        hooks = _hooks_by_loop.setdefault(asyncio.get_running_loop(), _Hooks())
        look_up = await _look_up(hooks, self._dsw_conn_id, self._region)
        loaded = look_up.hook or look_up.task.result()
        hook = next((hook for hook in hooks.users if hook.connection == loaded.connection), loaded)
        # It looks itself up anew when access is denied; who comes next shall have that too.
        self._hook = look_up.hook = hook
        if hook not in hooks.users:
            hooks.users[hook] = 0
            await hook.__aenter__()
        hooks.users[hook] += 1
        return hook

    async def __aexit__(self, *_: object) -> None:
        users = _hooks_by_loop[asyncio.get_running_loop()].users
        users[self._hook] -= 1
        if not users[self._hook]:
            del users[self._hook]
            await self._hook.__aexit__()


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
        failed = look_up_error(dsw_conn_id, error)
    raise failed
