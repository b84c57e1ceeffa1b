"""The runtime over the folder of a call, and what its containers are called."""

from __future__ import annotations

from moby.values import frozen
from moby_runtime.native.runtime import Native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.cli.main import Call

__all__ = ["native"]


@frozen
class _Folder:
    run: str
    engine: str = "runtime"


def native(call: Call) -> Native:
    """Return the runtime whose containers are in the folder of `--root`."""
    return Native(_Folder(call.root), call.log, systemd=call.systemd_cgroup, alone=True)
