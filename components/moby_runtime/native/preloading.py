"""Modules that some containers' own side needs: imported before it is made, since it may import none.

All of them for every container would take as long as a third of its start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.values import ProcessSpec, Spec

__all__ = ["preload", "preload_for"]


def preload(spec: Spec) -> None:
    """Import what a container's bundle asks for."""
    preload_for(spec.process)
    if spec.new("time"):
        from moby_runtime.native import clocks  # noqa: F401
    if spec.hooks:
        import warnings  # noqa: F401 - of os.fork, which hooks need

        from moby_runtime.native import hooks  # noqa: F401
    if spec.new("network"):
        from moby.host import links  # noqa: F401
    if spec.seccomp is not None:
        from moby_runtime.native import seccomp  # noqa: F401
    if any("tmpcopyup" in point.options for point in spec.mounts):
        from moby_runtime.native import copyup  # noqa: F401
    if spec.shares_mounts:
        from moby_runtime.native import shared_mounts  # noqa: F401


def preload_for(process: ProcessSpec) -> None:
    """Import what a process asks for."""
    if process.labelled:
        from moby_runtime.native import labels  # noqa: F401
    if process.terminal:
        from moby_runtime.native import console  # noqa: F401
