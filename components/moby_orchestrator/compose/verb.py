"""The verb `compose`: its command line, and which function does it."""

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import field, frozen

from moby.contracts.ambient import Place
from moby.contracts.command import engine_socket
from moby.errors import NotFound
from moby_orchestrator.compose.asking import parse
from moby_orchestrator.compose.calling import Engine
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.progress import Progress

__all__ = ["Call", "answered", "run"]

_MODULES = {
    "applying": ("create", "down", "kill", "pause", "restart", "rm", "scale", "start", "stop", "unpause", "up", "wait"),
    "looking": ("config", "events", "images", "logs", "ls", "port", "ps", "top", "version"),
    "imaging": ("build", "pull", "push"),
    "inside": ("attach", "cp", "exec", "run", "stats"),
    "watching": ("watch",),
}


@frozen
class Call:
    """One call of the verb: what was asked, of whom."""

    asked: Namespace
    engine: Engine
    progress: Progress
    own: tuple[str, ...]
    """The words that run another verb of this distribution."""
    warned: set[str] = field(factory=set)

    def project(self, *, services: Sequence[str] = (), resolved: bool = True, discarded: bool = True) -> Project:
        """Return the project that the files say."""
        from moby_orchestrator.compose.files.reading import Asked, read

        asked = Asked(
            files=tuple(self.asked.file),
            name=self.asked.project_name,
            folder=self.asked.project_directory,
            env_files=tuple(self.asked.env_file),
            profiles=tuple(self.asked.profile),
            services=tuple(services),
            resolved=resolved,
            discarded=discarded,
            warn=self._warn,
        )
        return read(asked, os.environ)

    def _warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.progress.warn(text)

    def found(self) -> Project:
        """Return the project that the files say; where only its name is known, one without services."""
        name = self.asked.project_name or os.environ.get("COMPOSE_PROJECT_NAME", "")
        try:
            if not self.asked.file and self.asked.project_name:
                return Project(self.asked.project_name, Path.cwd())
            return self.project()
        except NotFound:
            if not name:
                raise
            return Project(name, Path.cwd())


def run(place: Place, arguments: Sequence[str]) -> int:
    """Do a verb with the process's own standard streams, and return the exit code."""
    words = sys.argv[: len(sys.argv) - len(arguments) - 1]
    try:
        asked = _read(arguments)
    except SystemExit as ended:
        return _code(ended)
    module = next(each for each, verbs in _MODULES.items() if asked.verb in verbs)
    found = importlib.import_module(f"moby_orchestrator.compose.{module}")
    function: Callable[[Call], int] = getattr(found, asked.verb)
    with Progress(asked.progress) as progress:
        return function(Call(asked, Engine(engine_socket(place)), progress, (sys.executable, *words)))


def answered(arguments: Sequence[str]) -> int | None:
    """Answer what takes no engine, and return the exit code; None for all else."""
    try:
        _read(arguments)
    except SystemExit as ended:
        return _code(ended)
    return None


def _read(arguments: Sequence[str]) -> Namespace:
    return parse(f"{Path(sys.argv[0]).name} compose", arguments)


def _code(ended: SystemExit) -> int:
    return ended.code if isinstance(ended.code, int) else 2
