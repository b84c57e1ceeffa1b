"""A distribution's own command line: the framework's verbs, and those of its components of kind `command`."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.engine.call import Call
from moby.engine.words import split
from moby.errors import Corrupt, Invalid, MobyError, masked, printable
from moby.host.unwinding import unwind_on
from moby.plan import Plan, check, load

__all__ = ["LOCK", "embedded", "main"]

LOCK = "moby-lock.json"
"""Where a distribution's lock lies, beside the `moby` package."""
BUG = 70
USAGE = 2
_LEVELS = ("debug", "info", "warning", "error")
_FORMS = ("text", "json")
_OPTIONS = (
    "  --root DIR            keep all of this engine's folders in one, instead of the usual ones",
    "  --config FILE         TOML file that sets options which the assembly left open",
    f"  --log-level LEVEL     what is logged to standard error: {', '.join(_LEVELS)}; usually warning",
    f"  --log-format FORMAT   as {' or '.join(_FORMS)}; usually text",
    "  --version             print what this distribution is",
    "  -h, --help            print this; COMMAND --help tells of one command",
)
PART = "part"
"""The verb of a served part's own process, which no help shows: `part FILE`."""


def embedded() -> tuple[dict[str, Any], Plan]:
    """Read the lock that lies beside this package, in the same archive or folder, and the plan in it.

    Invalid where there is none; Corrupt where it isn't as it was written.
    """
    path = str(Path(__file__).parents[2] / LOCK)
    try:
        data = __loader__.get_data(path)  # type: ignore[name-defined]
    except OSError as error:
        raise Invalid(f"no lock at {path}: this is not a distribution", hint="make one with `moby assemble`") from error
    except Exception as error:  # zipimport's own, zlib's, and whatever else a damaged archive makes them raise
        raise _damaged(path, str(error) or repr(error)) from error
    try:
        lock: dict[str, Any] = json.loads(data)
        plan = load(lock["engine"])
        check(plan)
    except (Invalid, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error.message if isinstance(error, Invalid) else str(error) or repr(error)) from error
    return lock, plan


def _damaged(path: str, why: str) -> Corrupt:
    return Corrupt(f"the lock at {path} is damaged: {why}", hint="get or assemble this distribution again")


def main(arguments: Sequence[str] | None = None, read: Callable[[], tuple[dict[str, Any], Plan]] | None = None) -> int:
    """Run one verb of this distribution and return the exit code; errors go to standard error.

    `read` gives the lock and the plan; the distribution's own, which lie beside this package, unless told.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [PART]:
        from moby.engine import part

        return part.main(given[1:])
    least = 0
    folders: tuple[str, ...] = ()
    try:
        _open_standard_streams()
        unwind_on((signal.SIGTERM, signal.SIGHUP))
        call = _parse(given, *(read or embedded)())
        if isinstance(call, int):
            return call
        least = call.least_error_code
        roots = call.roots
        folders = (str(roots.state), str(roots.run), str(roots.cache))
        return _do(call)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's last flush doesn't fail too
        return 128 + signal.SIGPIPE
    except Exception as error:
        return max(_failed(error, folders), least)


def _open_standard_streams() -> None:
    """Open /dev/null where a standard stream is closed, so that no file of ours gets its number."""
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
    except FileNotFoundError:  # a folder that holds nothing but a distribution that brings its interpreter
        return
    os.close(descriptor)


def _failed(error: Exception, folders: Sequence[str] = ()) -> int:
    """Print an error, or those that came together (as of parts that failed to stop), and return the exit code."""
    errors = [_told(each, folders) for each in (error.exceptions if isinstance(error, ExceptionGroup) else (error,))]
    known = [each for each in errors if isinstance(each, MobyError)]
    for each in known:
        sys.stderr.write(f"{printable(masked(str(each)))}\n")
    if len(known) == len(errors):
        return max(each.exit_code for each in known)
    import traceback

    traceback.print_exception(error)
    sys.stderr.write("\nThis is a bug. Please report it, with the lines above, at the project's issue tracker.\n")
    return BUG


def _told(error: Exception, folders: Sequence[str]) -> Exception:
    """Return what the host can't as that, and all else as it is."""
    if isinstance(error, OSError):
        from moby.host.faults import host_fault

        return host_fault(error, folders) or error
    return error


def run(given: list[str], lock: dict[str, Any], plan: Plan) -> int:
    """Run one verb of a plan; what `main` does, but that errors are raised."""
    call = _parse(given, lock, plan)
    return call if isinstance(call, int) else _do(call)


def _do(call: Call) -> int:
    from moby.engine import verbs

    plan = call.plan
    own: Mapping[str, Callable[[Call], int]] = verbs.VERBS
    if call.verb in own:
        if call.verb in verbs.ENCLOSED:
            verbs.enclose(call)
        return own[call.verb](call)
    if plan.get(f"command/{call.verb}") is not None:
        answered = verbs.answered(call)
        if answered is not None:
            return answered
        verbs.enclose(call)
        return verbs.command(call)
    import difflib

    known = sorted([*own, *(each.name for each in plan.of_kind("command"))])
    near = difflib.get_close_matches(call.verb, known, n=1)
    sys.stderr.write(f"{plan.name}: no command {call.verb!r}" + (f"; did you mean {near[0]!r}?" if near else "") + "\n")
    sys.stderr.write(f"commands: {' '.join(known)}\n")
    return USAGE


def _parse(given: list[str], lock: dict[str, Any], plan: Plan) -> Call | int:
    """Split flags, verb and the verb's own arguments; an exit code where there is nothing left to do."""
    quick = split(given, {f"--{name}": name for name in ("root", "config", "log-level", "log-format")})
    if quick is not None and (call := _quick(*quick, lock, plan)) is not None:
        return call
    import argparse

    parser = argparse.ArgumentParser(prog=plan.name, add_help=False, allow_abbrev=False, usage=_usage(plan))
    parser.add_argument("--root")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--log-level", choices=_LEVELS, default="warning")
    parser.add_argument("--log-format", choices=_FORMS, default="text")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    try:
        flags = parser.parse_args(given)
    except SystemExit:
        return USAGE
    if flags.root == "":  # as of a variable that isn't set: the usual folders are not what was meant
        sys.stderr.write(f"{plan.name}: --root is empty; name a folder\n")
        return USAGE
    if flags.version:
        flags.rest = ["version"]
    if flags.help or not flags.rest:
        print(_help(plan), file=sys.stdout if flags.help else sys.stderr)
        return 0 if flags.help else USAGE
    verb, *arguments = flags.rest
    return Call(
        plan, lock, flags.root, flags.config, flags.log_level, verb, tuple(arguments), log_form=flags.log_format
    )


def _quick(flags: Mapping[str, list[str]], rest: tuple[str, ...], lock: dict[str, Any], plan: Plan) -> Call | None:
    """Return the call of flags that were split already; None where something is to be said about them."""
    root, config, level, form = (values[-1] if values else None for values in flags.values())
    if not rest or root == "" or level not in (None, *_LEVELS) or form not in (None, *_FORMS):
        return None
    path = None if config is None else Path(config)
    return Call(plan, lock, root, path, level or "warning", rest[0], rest[1:], log_form=form or "text")


def _usage(plan: Plan) -> str:
    return f"{plan.name} [--root DIR] [--config FILE] [--log-level LEVEL] [--log-format FORMAT] COMMAND ..."


def _help(plan: Plan) -> str:
    from moby.engine import verbs

    rows = [(each.name, each.facts.summary) for each in plan.of_kind("command")]
    rows += [(name, (function.__doc__ or "").partition("\n")[0]) for name, function in verbs.VERBS.items()]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in sorted(rows)]
    return "\n".join([f"usage: {_usage(plan)}", "", "options:", *_OPTIONS, "", "commands:", *lines])
