"""The verbs `build` and `builder`."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from moby.contracts.ambient import Place
from moby.contracts.builder import Builder
from moby.contracts.command import engine_socket
from moby_builder.command.options import build_parser

__all__ = ["BuildVerb", "BuilderVerb"]


class BuildVerb:
    """`build`; see the contract of commands. Without a builder it is another process's engine that builds."""

    def __init__(self, builder: Builder | None, place: Place) -> None:
        self._builder = builder
        self._socket = engine_socket(place)

    def run(self, arguments: Sequence[str]) -> int:
        """Build, and return 0; or what a check found."""
        try:
            asked = build_parser().parse_args(arguments)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 2
        if asked.iidfile:
            Path(asked.iidfile).unlink(missing_ok=True)
        return self._elsewhere(asked) if self._builder is None else _here(self._builder, asked)

    def answered(self, arguments: Sequence[str]) -> int | None:
        """Answer what takes no engine; None for all else."""
        return _code_of(lambda: build_parser().parse_args(arguments))

    def _elsewhere(self, asked: Namespace) -> int:
        from moby_builder.command.calling import Caller, build

        _tell_image(asked, build(Caller(self._socket), asked))
        return 0


def _here(builder: Builder, asked: Namespace) -> int:
    from moby_builder.command.asking import ask
    from moby_builder.command.building import build
    from moby_builder.command.showing import Display

    wanted = ask(asked, sys.stdin.buffer, os.environ)
    with closing(wanted.lent):
        quiet = asked.quiet or bool(wanted.answer)
        outcome = build(builder, wanted, Display("quiet" if quiet else asked.progress), explain=asked.explain)
    if wanted.answer and outcome.result is not None:
        answers = outcome.result.answers
        sys.stdout.write(answers[wanted.answer].decode(errors="replace"))
        code = answers.get("result.statuscode", b"0")
        return int(code) if code.isdigit() else 1
    _tell_image(asked, next((str(each.image or "") for each in outcome.exported if each.image), ""))
    return 0


def _tell_image(asked: Namespace, id: str) -> None:
    """Say which image it is, where that is asked for."""
    if asked.iidfile and id:
        Path(asked.iidfile).write_text(id)
    if asked.quiet and id:
        print(id)  # noqa: T201  # a command's output


class BuilderVerb:
    """`builder`; see the contract of commands."""

    def __init__(self, place: Place) -> None:
        self._socket = engine_socket(place)

    def run(self, arguments: Sequence[str]) -> int:
        """Run the verb below it."""
        from moby_builder.command.calling import Caller
        from moby_builder.command.keeping import read, run

        try:
            asked = read(arguments)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 2
        return run(Caller(self._socket), asked)

    def answered(self, arguments: Sequence[str]) -> int | None:
        """Answer what takes no engine; None for all else."""
        from moby_builder.command.keeping import read

        return _code_of(lambda: read(arguments))


def _code_of(read: Callable[[], object]) -> int | None:
    """Return the exit code with which a command line's reading ends; None where it is right."""
    try:
        read()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    return None
