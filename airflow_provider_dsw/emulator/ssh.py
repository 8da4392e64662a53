"""The endpoint by which an instance can be reached by SSH, as UserVpc.ForwardInfos shows it."""

from __future__ import annotations

from typing import Any

# In other statuses nothing answers there. An instance that is saved goes on running.
HAS_SSH = frozenset({"Running", "Saving", "Saved", "SaveFailed"})


def user_vpc(vpc: Any, *, is_ready: bool, endpoint: str | None) -> Any:
    """An instance's UserVpc with what its ForwardInfos say at the moment."""
    infos = vpc.get("ForwardInfos") if isinstance(vpc, dict) else None
    if not isinstance(infos, list):
        return vpc
    return {**vpc, "ForwardInfos": [_forward_info(info, is_ready, endpoint) for info in infos]}


def _forward_info(info: Any, is_ready: bool, endpoint: str | None) -> Any:
    if not isinstance(info, dict):
        return info
    if not is_ready:
        return {**info, "ConnectInfo": {"Phase": "Pending", "Message": "DNAT and privateZone are not ready yet."}}
    connect = info.get("ConnectInfo") or {}
    if endpoint is not None:
        host, _, port = endpoint.rpartition(":")
        address = {"Endpoint": host, "Port": port}
        connect = {**connect, "Intranet": address, "Internet": address}
    return {**info, "ConnectInfo": {"Phase": "Ready", "Message": "DNAT and privateZone are both ready.", **connect}}
