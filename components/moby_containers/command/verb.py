"""One of docker's verbs: its command line, and which function does it."""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.command import ENGINE_FAILED, engine_socket
from moby.errors import MobyError
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


def do(client: Client, name: str, arguments: Sequence[str], *, prefix: str) -> int:
    """Do a verb by its name."""
    module = next(each for each, verbs in _MODULES.items() if name in verbs)
    function: Callable[[Client, Parser, Sequence[str]], int] = getattr(
        importlib.import_module(f"moby_containers.command.{module}"), name.rstrip("_")
    )
    failure = ENGINE_FAILED if name in ("run", "exec") else 2
    return function(client, Parser(f"{prefix} {name}", failure), arguments)


class Parser(argparse.ArgumentParser):
    """A command line; wrong usage ends with the verb's own code."""

    def __init__(self, prog: str, failure: int = 2) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)
        self.failure = failure
        self.add_argument("--help", action="help", help="show this text")

    def error(self, message: str) -> Any:
        """Say what is wrong and how it is used; the options are told elsewhere, for there may be pages of them."""
        formatter = argparse.HelpFormatter(f"{self.prog} [OPTIONS]")
        formatter.add_usage(None, [each for each in self._actions if not each.option_strings], ())
        usage = formatter.format_help().rstrip()
        self.exit(self.failure, f"{usage}\n{self.prog}: {message}\nSee '{self.prog} --help'.\n")


def say(text: str) -> None:
    """Print a line."""
    print(text)  # noqa: T201  # a command's output


def complain(text: str) -> None:
    """Print a line to standard error, after what was printed before."""
    sys.stdout.flush()
    print(text, file=sys.stderr)  # noqa: T201  # a command's output


def each(names: Iterable[str], call: Callable[[str], object], *, quiet: bool = False) -> int:
    """Do something with each name, and print those that it was done with; go on past errors, which end with 1."""
    failed = 0
    for name in names:
        try:
            call(name)
        except MobyError as error:
            failed = 1
            complain(error.message)
        else:
            if not quiet:
                say(name)
    return failed
