"""The endpoint by which an instance can be reached by SSH, as UserVpc.ForwardInfos shows it."""

from __future__ import annotations

from typing import Any

# In other statuses nothing answers there. An instance that is being saved keeps running.
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
    connect = info.get("ConnectInfo") or _addresses(info)
    if endpoint is not None:
        host, _, port = endpoint.rpartition(":")
        address = {"Endpoint": host, "Port": port}
        connect = {**connect, "Intranet": address, "Internet": address}
    return {**info, "ConnectInfo": {"Phase": "Ready", "Message": "DNAT and privateZone are both ready.", **connect}}


def _addresses(info: dict[str, Any]) -> dict[str, Any]:
    """Where an endpoint is that CreateInstance was asked for. Made up, like those of the default instance."""
    port = str(info.get("ExternalPort") or info.get("ForwardPort") or 22)
    access = info.get("AccessType") or ["intranet"]
    addresses: dict[str, Any] = {}
    if "intranet" in access:
        addresses["Intranet"] = {"Endpoint": f"dsw-notebook-{port}.dsw.pai.alibaba.com", "Port": port}
    if "internet" in access:
        addresses["Internet"] = {"Endpoint": "203.0.113.114", "Port": port}
    return addresses
