"""One of docker's verbs: its command line, and which function does it."""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.command import ENGINE_FAILED, engine_socket
from moby.errors import MobyError, NotFound
from moby_containers.command.client import Client

__all__ = ["Parser", "Verb", "complain", "each", "say"]

_MODULES = {
    "running": ("attach", "create", "exec", "run", "start"),
    "life": ("kill", "pause", "rename", "restart", "rm", "stop", "unpause", "wait"),
    "looking": ("diff", "events", "info", "inspect", "logs", "port", "ps", "top"),
    "objects": ("container", "volume"),
    "networks": ("network",),
    "archives": ("cp", "export"),
    "changing": ("commit", "update"),
    "statistics": ("stats",),
    "system": ("system",),
}


class Understood(Exception):
    """A command line is right, and was only to be read."""


class Verb:
    """A verb; see the contract of commands."""

    def __init__(self, name: str, place: Place) -> None:
        self._name = name
        self._client = Client(engine_socket(place))

    def run(self, arguments: Sequence[str]) -> int:
        """Do it with the process's own standard streams, and return the exit code."""
        try:
            return do(self._client, self._name, arguments, prefix=Path(sys.argv[0]).name or "engine")
        except SystemExit as ended:  # of argparse
            return ended.code if isinstance(ended.code, int) else 2

    def answered(self, arguments: Sequence[str]) -> int | None:
        """Answer what takes no engine; None for all else."""
        prefix = Path(sys.argv[0]).name or "engine"
        try:
            return do(self._client, self._name, arguments, prefix=prefix, only_read=True)
        except Understood:
            return None
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 2


def do(client: Client, name: str, arguments: Sequence[str], *, prefix: str, only_read: bool = False) -> int:
    """Do a verb by its name; with `only_read` raise Understood once its command line is known to be right."""
    module = next(each for each, verbs in _MODULES.items() if name in verbs)
    function: Callable[[Client, Parser, Sequence[str]], int] = getattr(
        importlib.import_module(f"moby_containers.command.{module}"), name.rstrip("_")
    )
    failure = ENGINE_FAILED if name in ("run", "exec") else 2
    return function(client, Parser(f"{prefix} {name}", failure, only_read=only_read), arguments)


class Parser(argparse.ArgumentParser):
    """A command line; wrong usage ends with the verb's own code."""

    def __init__(self, prog: str, failure: int = 2, *, only_read: bool = False) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)
        self.failure = failure
        self.only_read = only_read
        self._given: Any = ()
        self.add_argument("--help", action="help", help="show this text")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read a command line, which every verb does before anything else."""
        return self._read(super().parse_args(args, namespace))

    def parse_some(self, arguments: Sequence[str]) -> Any:
        """Read a command line in place of that, where it may have what this doesn't know; return that, too."""
        return self._read(self.parse_known_args(arguments))

    def _read(self, asked: Any) -> Any:
        if self.only_read:
            raise Understood
        return asked

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read a command line as far as it is known."""
        self._given = args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> Any:
        """Say what is wrong and how it is used; the options are told elsewhere, for there may be pages of them."""
        message = self._unknown() or message
        formatter = argparse.HelpFormatter(f"{self.prog} [OPTIONS]")
        formatter.add_usage(None, [each for each in self._actions if not each.option_strings], ())
        usage = formatter.format_help().rstrip()
        self.exit(self.failure, f"{usage}\n{self.prog}: {message}\nSee '{self.prog} --help'.\n")

    def _unknown(self) -> str:
        """Return docker's words for the first flag that isn't known, whatever else lacks; nothing where all are."""
        for each in self._actions:
            each.required = False
        self.exit_on_error = False
        try:
            _, rest = super().parse_known_args(self._given)
        except argparse.ArgumentError:
            return ""
        flag = next((word for word in rest if word.startswith("-")), "").partition("=")[0]
        if flag.startswith("--") or not flag:
            return flag and f"unknown flag: {flag}"
        return f"unknown shorthand flag: {flag[1]!r} in {flag}"


def say(text: str) -> None:
    """Print a line."""
    print(text)  # noqa: T201  # a command's output


def complain(text: str) -> None:
    """Print a line to standard error, after what was printed before."""
    sys.stdout.flush()
    print(text, file=sys.stderr)  # noqa: T201  # a command's output


def each(
    names: Iterable[str], call: Callable[[str], object], *, quiet: bool = False, may_be_absent: bool = False
) -> int:
    """Do something with each name, and print those that it was done with; go on past errors, which end with 1."""
    failed = 0
    for name in names:
        try:
            call(name)
        except MobyError as error:
            if not (may_be_absent and isinstance(error, NotFound)):
                failed = 1
            complain(error.message)
        else:
            if not quiet:
                say(name)
    return failed
