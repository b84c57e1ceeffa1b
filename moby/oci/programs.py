"""Why a program can't be run, in the words by which docker's clients tell exit codes."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from moby.errors import Invalid, MobyError

__all__ = ["NOT_FOUND", "NOT_RUNNABLE", "telling"]

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""Exit codes of a shell."""
_WORDS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOEXEC: "exec format error",
}


@contextmanager
def telling(program: str, *, exec_: bool = False, cwd: str = "") -> Iterator[None]:
    """Give what a runtime says of a program docker's words, and the exit code that a shell would."""
    try:
        if not program:  # which a runtime takes for a mistake in what it was given
            raise Invalid("process.args") from FileNotFoundError(errno.ENOENT, "No such file or directory")
        yield
    except Invalid as error:
        told = _told(error, program, cwd, exec_=exec_)
        if told is error:
            raise
        raise told from told.__cause__


def _told(error: Invalid, program: str, cwd: str, *, exec_: bool) -> Invalid:
    if error.problems or _is_of_another_field(error):
        return error
    cause = error.__cause__
    if isinstance(cause, OSError):
        number = cause.errno or 0
        code = NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_RUNNABLE
        words = _WORDS.get(number, (cause.strerror or str(cause)).lower())
    elif cause is None and _is_missing(error):
        code, words = NOT_FOUND, "no such file or directory"
    else:
        return error
    if "process.cwd" in error.message or "working folder" in error.message or "change to the folder" in error.message:
        what = f'chdir to cwd ("{cwd}") set in config.json failed: {words}'
    else:
        what = f"exec: {_quoted(program)}: {_about_program(program, code, words)}"
    doing = "exec failed: exec failed" if exec_ else "create failed"
    before = "" if exec_ else "failed to create task for container: "
    text = f"{before}OCI runtime {doing}: unable to start container process: {what}: unknown"
    told = Invalid(text)
    told.__cause__ = cause if cause is not None else FileNotFoundError(errno.ENOENT, "No such file or directory")
    told.exit_code = code
    return told


def _quoted(text: str) -> str:
    """Return a text as Go quotes it."""
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


def _about_program(program: str, code: int, words: str) -> str:
    if code != NOT_FOUND:
        return words
    return f"stat {program}: {words}" if "/" in program else "executable file not found in $PATH"


def _is_of_another_field(error: MobyError) -> bool:
    """Whether a runtime names a field that is neither its program nor its folder: a mount, a limit, a setting."""
    named = "process.args" in error.message or "process.cwd" in error.message
    return "config.json" in error.message and not named


def _is_missing(error: MobyError) -> bool:
    """Whether a runtime's Invalid without a cause is about its program or folder: its contract says one isn't there."""
    return "hook" not in error.message
