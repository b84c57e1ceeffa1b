"""How a RUN ended, in BuildKit's words."""

import errno

from moby.contracts.builder import BuildFailed
from moby.contracts.types import Exit
from moby.errors import MobyError
from moby_builder.dockerfile.language.spelling import quoted
from moby_builder.dockerfile.operations import Node, Run
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["failed", "judge", "unstarted"]

_PROGRAM = "(config.json: process.args)"
"""What a runtime says where the program is at fault (moby.contracts.runtime)."""
_WORDS = {
    errno.EACCES: "permission denied",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOEXEC: "exec format error",
}
_STDERR = 2
_RUNC_CODE = 1
"""With which runc, of which this is known, ends where it can't begin a program."""


def failed(node: Node) -> str:
    """Return the beginning of what is said of a RUN that failed."""
    assert isinstance(node.operation, Run)
    return f"process {quoted(' '.join(node.operation.arguments))} did not complete successfully"


def judge(ended: Exit | None, node: Node, watch: Watch) -> None:
    """Raise where a program didn't end well."""
    watch.cancel.check()
    if ended is not None and ended.code == 0:
        return
    said = failed(node)
    if ended is None or ended.code is None:
        raise BuildFailed(f"{said}: its exit code is unknown", ranges=node.ranges)
    killed = ": cannot allocate memory" if ended.oom_killed else ""
    raise BuildFailed(f"{said}: exit code: {ended.code}{killed}", code=ended.code, ranges=node.ranges)


def unstarted(error: MobyError, node: Node, watch: Watch) -> BuildFailed:
    """Return the failure of a RUN that didn't begin; where its program is at fault, its log says why."""
    if _PROGRAM not in error.message:
        return BuildFailed(f"{failed(node)}: {error.message}", ranges=node.ranges, hint=error.hint)
    assert isinstance(node.operation, Run)
    program, cause = node.operation.arguments[0], error.__cause__
    number = (cause.errno if isinstance(cause, OSError) else None) or errno.ENOENT
    if number == errno.ENOENT:
        why = f"stat {program}: no such file or directory" if "/" in program else "executable file not found in $PATH"
    else:
        why = _WORDS.get(number, (getattr(cause, "strerror", None) or str(cause)).lower())
    watch.log(_STDERR, f'unable to start container process: exec: "{program}": {why}\n'.encode())
    return BuildFailed(f"{failed(node)}: exit code: {_RUNC_CODE}", code=_RUNC_CODE, ranges=node.ranges)
