"""Configs of images as they are exported: a step of history for each layer, and times as they are to be."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from moby.contracts.types import Digest
from moby.oci.times import nano

__all__ = ["dumped", "filled", "nanoseconds"]


def filled(config: Mapping[str, Any], made_ns: Sequence[int], epoch_s: int | None) -> dict[str, Any]:
    """Return a config with a step of history for each layer, made at these times; none is later than the epoch."""
    history = _stamped(_matched(config.get("history") or [], len(made_ns)), made_ns)
    if epoch_s is not None:
        history = [{**each, "created": _capped(each.get("created", ""), epoch_s)} for each in history]
    created = max((each["created"] for each in history if each.get("created")), key=_order, default="")
    if epoch_s is not None:
        created = nano(epoch_s * 1_000_000_000)
    elif config.get("created"):
        created = config["created"]
    found = {**config, "created": created, "history": history}
    return {key: value for key, value in found.items() if value not in ("", [], None)}


def dumped(config: Mapping[str, Any], diff_ids: Sequence[Digest]) -> bytes:
    """Return a config as its blob, with its `rootfs`; the same values give the same bytes."""
    rootfs = {"type": "layers", "diff_ids": [str(each) for each in diff_ids]}
    return json.dumps({**config, "rootfs": rootfs}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def nanoseconds(value: Any) -> int:
    """Return a time that is written so in nanoseconds; 0 for anything else."""
    whole, _, rest = str(value).removesuffix("Z").partition(".")
    try:
        seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
        return max(0, seconds) * 1_000_000_000 + int(rest[:9].ljust(9, "0"))
    except (ValueError, OverflowError):
        return 0


def _matched(history: Sequence[Mapping[str, Any]], layers: int) -> list[dict[str, Any]]:
    """Return as many steps with a layer as there are layers: more are said to have none.

    Those that are missing are the lowest, of an image that tells nothing of them.
    """
    found: list[dict[str, Any]] = []
    left = layers
    for each in history:
        step = dict(each)
        if not step.get("empty_layer"):
            if left:
                left -= 1
            else:
                step["empty_layer"] = True
        found.append(step)
    return [{"created_by": "unknown"} for _ in range(left)] + found


def _stamped(history: list[dict[str, Any]], made_ns: Sequence[int]) -> list[dict[str, Any]]:
    """Give steps without a time their layer's; those without a layer, that of the one before, else of the next."""
    times = iter(made_ns)
    latest = ""
    for each in history:
        layer_ns = 0 if each.get("empty_layer") else next(times, 0)
        if not each.get("created") and layer_ns:
            each["created"] = nano(layer_ns)
        elif not each.get("created") and latest:
            each["created"] = latest
        latest = each.get("created") or latest
    following = ""
    for each in reversed(history):
        if not each.get("created") and following:
            each["created"] = following
        following = each.get("created") or following
    return history


def _capped(created: str, epoch_s: int) -> str:
    latest = nano(epoch_s * 1_000_000_000)
    return created if created and _order(created) <= _order(latest) else latest


def _order(created: str) -> tuple[str, str]:
    """Return what sorts times that are written in UTC."""
    whole, _, rest = created.removesuffix("Z").partition(".")
    return whole, rest
