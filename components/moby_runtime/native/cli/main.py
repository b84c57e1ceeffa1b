"""The command line: global flags, then a verb; errors go to the log, as engines read them."""

from __future__ import annotations

import gc
import os
import sys

from moby_runtime.native.cli.flags import Values, WrongUsage, parse
from moby_runtime.native.cli.verbs import GLOBAL, VERBS, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from moby_runtime.native.cli.log import Log

__all__ = ["Call", "command", "main"]

_EXEC_FAILED = 255
"""Of a failed `exec`, so that it isn't taken for the program's own."""


class Call:
    """One call of the command: what it was told, and where containers are."""

    __slots__ = ("arguments", "flags", "log", "root", "systemd_cgroup")

    def __init__(
        self, root: str, flags: Values, arguments: list[str], *, systemd_cgroup: bool, log: Log | None = None
    ) -> None:
        self.root = root
        self.log = log
        self.flags = flags
        self.arguments = arguments
        self.systemd_cgroup = systemd_cgroup

    def text(self, name: str) -> str:
        """Return a flag's value, or nothing."""
        return str(self.flags.get(name) or "")

    def words(self, name: str) -> list[str]:
        """Return all that a flag was given."""
        found = self.flags.get(name)
        return found if isinstance(found, list) else []

    def number(self, name: str) -> int:
        """Return a flag's number, or 0."""
        found = self.flags.get(name)
        return found if isinstance(found, int) else 0

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self.flags.get(name))


def command(last: Callable[[], object] = lambda: None) -> NoReturn:
    """Do what the command line says, then a last step, and end with its exit code.

    A process that lives for milliseconds needs no garbage collected and nothing taken down, which takes longer.
    """
    gc.disable()
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads it, or there is no space
        code = code or 1
    last()
    os._exit(code)


def main(words: Sequence[str] | None = None) -> int:
    """Do what a command line says (sys.argv by default); return the exit code."""
    _open_stdio()
    words = sys.argv[1:] if words is None else list(words)
    try:
        options, rest = parse(words, GLOBAL, 1)
    except WrongUsage as error:
        return _misused(str(error), "")
    name = rest[0] if rest else ""
    if options.get("version"):
        from moby_runtime.native.cli.usage import print_version

        return print_version()
    if not name or name == "help" or options.get("help"):
        from moby_runtime.native.cli.usage import print_usage

        return print_usage(rest[1] if name == "help" and rest[1:] else "")
    verb = VERBS.get(name)
    if verb is None:
        return _misused(f"there is no verb {name!r}", "")
    return _logged(name, verb, options, rest[1:])


def _misused(message: str, name: str) -> int:
    help_of = f"moby-runtime {name} --help".replace("  ", " ")
    sys.stderr.write(f"moby-runtime: {message}\n  see {help_of}\n")
    return 1


def _take_children() -> None:
    """Be told of children again, where the caller ignores its own, which is inherited (wait(2), NOTES)."""
    from moby.host.lean import signals

    if signals.getsignal(signals.SIGCHLD) == signals.SIG_IGN:
        signals.signal(signals.SIGCHLD, signals.SIG_DFL)


def _logged(name: str, verb: Verb, options: Values, words: list[str]) -> int:
    """Do a verb, and log its error."""
    code = _EXEC_FAILED if name == "exec" else 1
    log = None
    try:
        from moby_runtime.native.cli.log import Log

        log = Log(str(options.get("log") or ""), str(options.get("log-format") or ""), debug=bool(options.get("debug")))
        flags, arguments = parse(words, (*verb.flags, _HELP), verb.stop_after)
        if flags.get("help"):
            from moby_runtime.native.cli.usage import print_usage

            return print_usage(name)
        _count(name, verb, arguments)
        rootless = str(options.get("rootless") or "auto").lower()
        if rootless not in _SWITCHES:
            raise WrongUsage(f"--rootless takes true, false or auto, not {rootless!r}")
        call = Call(_root(options), flags, arguments, systemd_cgroup=bool(options.get("systemd-cgroup")), log=log)
        log.debug(f"{name} {' '.join(words)}")
        _take_children()
        module = __import__(f"moby_runtime.native.cli.{verb.module}", fromlist=("",))
        result: int = getattr(module, verb.function or verb.module)(call)
        return result
    except WrongUsage as error:
        if log is not None:
            log.error(str(error), console=False)
        _misused(str(error), name)
        return code
    except BrokenPipeError:  # whoever read the output has enough
        return code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from moby_runtime.native.cli.words import exit_code_of, words_of

        message = words_of(name, error)
        if log is None:
            sys.stderr.write(f"moby-runtime: {message}\n")
        else:
            log.failed(message, error)
        return exit_code_of(error, code)


_HELP = ("help", "h", "", "")
_SWITCHES = ("auto", "true", "false", "1", "0", "t", "f")


def _open_stdio() -> None:
    """Open what of the standard streams is closed, so that no other descriptor gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Where they were closed, Python has none.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _count(name: str, verb: Verb, arguments: list[str]) -> None:
    if len(arguments) < verb.least:
        raise WrongUsage(f'"{name}" requires at least {verb.least} argument(s): {verb.usage}')
    if 0 <= verb.most < len(arguments):
        raise WrongUsage(f'"{name}" takes at most {verb.most} argument(s): {verb.usage}')
    if verb.least and not arguments[0]:
        raise WrongUsage("container id cannot be empty")


def _root(options: Values) -> str:
    """Return the folder of all containers: as told, else /run/moby-runtime, or the user's own."""
    told = options.get("root")
    if told is not None:
        root = os.path.abspath(str(told))
        if root == "/":
            raise WrongUsage("--root can't be /")
        return root
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if own and _ordinary():
        root = f"{own}/moby-runtime"
        # The sticky bit keeps it from being cleaned away (XDG base directory specification).
        os.makedirs(root, 0o700, exist_ok=True)
        os.chmod(root, 0o1700)
        return root
    return "/run/moby-runtime"


def _ordinary() -> bool:
    """Whether the caller isn't the host's root: another user, or root of a user namespace."""
    if os.geteuid():
        return True
    with open("/proc/self/uid_map", encoding="ascii") as file:
        initial = file.read().split() == ["0", "0", "4294967295"]
    return not initial and os.environ.get("USER") != "root"
