"""The verb `bundle`: a container in the foreground from a folder as the runtime specification has it."""

import argparse
import json
import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.supervisor import Supervisor, TaskConfig
from moby.errors import Invalid, NotFound
from moby.host import claims
from moby_supervisor.run.session import STDIN, Session, code_of
from moby_supervisor.run.signals import Signals

__all__ = ["Bundle"]


class Bundle:
    """Runs a bundle's container; main thread only, since it takes the process's signals over.

    The bundle itself is only read: what its container needs besides is in a copy of its config.json.
    """

    def __init__(self, supervisor: Supervisor, place: Place) -> None:
        self._supervisor = supervisor
        self._place = place

    def run(self, arguments: Sequence[str]) -> int:
        """Return the container's exit code; errors that are raised carry 125, 126 or 127."""
        return code_of(lambda: self._asked(arguments))

    def _asked(self, arguments: Sequence[str]) -> int:
        asked = _parser().parse_args(arguments)
        spec = _spec(Path(asked.folder))
        terminal = bool(spec["process"].get("terminal"))
        if asked.interactive and terminal and not os.isatty(STDIN):
            raise Invalid("the input device is not a TTY", hint="run this from a terminal, or leave -i out")
        for left in claims.abandoned(self._place.run):
            left.release()
        container = asked.name or secrets.token_hex(32)
        with Signals() as signals, ExitStack() as cleanup:
            with signals.deferred():
                copy = claims.claim(self._place.run, container)
                cleanup.callback(copy.release)
            (copy.path / "config.json").write_text(json.dumps(spec), encoding="utf-8")
            config = TaskConfig(container, copy.path, asked.runtime, terminal, asked.interactive)
            return Session(self._supervisor).run(config, signals, cleanup)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bundle", allow_abbrev=False, description="Run the container of a bundle in the foreground."
    )
    parser.add_argument("-i", "--interactive", action="store_true", help="pass standard input on")
    parser.add_argument("--name", default="", help="the container's id; default: a random one")
    parser.add_argument("--runtime", default="", metavar="NAME", help="one of the engine's runtimes")
    parser.add_argument("folder", metavar="FOLDER", help="has config.json, and the root file system that it names")
    return parser


def _spec(folder: Path) -> dict[str, Any]:
    """Return what a bundle says, with its root's path from anywhere; what else is in it its runtime judges."""
    path = folder / "config.json"
    try:
        spec = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", hint="give the folder of a bundle") from None
    except ValueError as error:
        raise Invalid(f"{path} is no JSON: {error}", hint="write it as the runtime specification says") from error
    parts = [spec.get(each) if isinstance(spec, dict) else None for each in ("process", "root")]
    if not all(isinstance(each, dict) for each in parts) or not isinstance(spec["root"].get("path"), str):
        raise Invalid(f"{path} must have process and root.path", hint="write it as the runtime specification says")
    spec["root"]["path"] = str((folder / spec["root"]["path"]).absolute())
    return dict(spec)
