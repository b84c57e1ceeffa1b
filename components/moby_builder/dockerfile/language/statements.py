"""Statements: a file's instructions as keyword, flags and text, with their lines; what they mean is for `forms`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from attrs import evolve, frozen

from moby.contracts.builder import BuildFailed, Range
from moby_builder.dockerfile.language import heredocs
from moby_builder.dockerfile.language.arguments import json_list, pairs, split_flags, split_spaces, split_words
from moby_builder.dockerfile.language.directives import DirectiveReader
from moby_builder.dockerfile.language.failures import located, place
from moby_builder.dockerfile.language.instructions import Directive, Heredoc, Pair, Written
from moby_builder.dockerfile.language.spelling import SPACES

__all__ = ["Statement", "Statements", "read"]

MOST_BYTES_OF_A_LINE = 65535


@frozen
class Statement:
    """An instruction, as far as its keyword says how to split it."""

    written: Written
    flags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    json: bool = False
    """Whether the arguments were a list in JSON."""
    pairs: tuple[Pair, ...] = ()
    """Of ENV and LABEL, instead of arguments."""
    heredocs: tuple[Heredoc, ...] = ()
    inner: "Statement | None" = None
    """Of ONBUILD, what it puts off."""

    @property
    def keyword(self) -> str:
        """The keyword, in upper case."""
        return self.written.keyword.upper()


@frozen
class Statements:
    """All of a file."""

    statements: tuple[Statement, ...] = ()
    escape: str = "\\"
    directives: tuple[Directive, ...] = ()
    empty_continuations: tuple[int, ...] = ()


class _Line(NamedTuple):
    number: int
    text: str
    """With its end of line."""


def read(source: str, file: str) -> Statements:
    """Return the statements of a file; BuildFailed where it has none, or a line of it can't be one."""
    reader = _FileReader(source, file)
    statements = tuple(reader.statements())
    if not statements:
        with place(file, source, Range(reader.line, reader.line)):
            raise BuildFailed("file with no instructions")
    return Statements(statements, reader.directives.escape, tuple(reader.directives.found), tuple(reader.empty))


class _FileReader:
    """Reads a file, line by line."""

    def __init__(self, source: str, file: str) -> None:
        self.directives = DirectiveReader()
        self.empty: list[int] = []
        self.line = 0
        self._source = source
        self._file = file
        self._comments: list[str] = []
        self._lines = self._numbered()

    def _numbered(self) -> Iterator[_Line]:
        for number, text in enumerate(_lines(self._source), 1):
            self.line = number
            if len(text) > MOST_BYTES_OF_A_LINE // 4 and len(text.encode()) > MOST_BYTES_OF_A_LINE + text.endswith(
                "\n"
            ):
                with place(self._file, self._source, Range(number, number)):
                    raise BuildFailed(f"dockerfile line greater than max allowed size of {MOST_BYTES_OF_A_LINE}")
            yield _Line(number, text)

    def statements(self) -> Iterator[Statement]:
        for line in self._lines:
            with place(self._file, self._source, Range(line.number, line.number)):
                text = self._content(line)
            if text is None:
                continue
            joined = self._joined(text)
            try:
                statement = self._with_heredocs(_statement(joined, self.directives.escape), joined)
            except BuildFailed as error:
                raise located(error, self._file, self._source, Range(line.number, self.line)) from None
            comments, self._comments = tuple(self._comments), []
            written = evolve(statement.written, range=Range(line.number, self.line), comments=comments)
            yield evolve(statement, written=written)

    def _content(self, line: _Line) -> str | None:
        """Return what a line has of an instruction's beginning; None for none."""
        text = line.text.rstrip("\r\n").lstrip(SPACES)
        directive = self.directives.take(text, line.number)
        if not text:
            self._comments = []
        if not text.startswith("#"):
            return text or None
        comment = text[1:].strip(SPACES)
        if not comment:
            self._comments = []
        elif not directive:
            self._comments.append(comment)
        return None

    def _joined(self, text: str) -> str:
        """Return a line with those that continue it, as one."""
        text, goes_on = self._continued(text)
        if not goes_on:
            return text
        parts, empty = [text], False
        for line in self._lines:
            text = line.text.rstrip("\r\n")
            bare = text.lstrip(SPACES)
            if bare.startswith("#"):
                continue
            if not bare:
                empty = True
                continue
            text, goes_on = self._continued(text)
            parts.append(text)
            if not goes_on:
                break
        if empty:
            self.empty.append(self.line)
        return "".join(parts)

    def _continued(self, text: str) -> tuple[str, bool]:
        """Return a line without the escape at its end, and whether there was one."""
        bare = text.rstrip(" \t")
        escape = self.directives.escape
        if bare.endswith(escape) and not bare.endswith(escape * 2):
            return bare[:-1], True
        return text, False

    def _with_heredocs(self, statement: Statement, joined: str) -> Statement:
        """Return a statement with the here-documents that follow it."""
        inner = statement.inner or statement
        if inner.keyword not in ("ADD", "COPY", "RUN") or inner.json or "<<" not in joined:
            return statement
        return evolve(statement, heredocs=tuple(self._heredoc(each) for each in heredocs.announced(joined)))

    def _heredoc(self, heredoc: Heredoc) -> Heredoc:
        content: list[str] = []
        for line in self._lines:
            text = line.text.rstrip("\r\n")
            if (text.lstrip("\t") if heredoc.chomp else text) == heredoc.name:
                return evolve(heredoc, content="".join(content))
            content.append(line.text)
        raise BuildFailed("unterminated heredoc")


def _lines(source: str) -> list[str]:
    """Return lines with their ends; only a line feed ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", source)


def _statement(line: str, escape: str) -> Statement:
    """Return a line as a statement, without its here-documents."""
    keyword, *rest = split_spaces(line.strip(SPACES), 1)
    flags, text = split_flags(rest[0], escape) if rest else ((), "")
    text = text.strip(SPACES)
    bare = Statement(Written(keyword, line.strip(SPACES)), flags)
    match keyword.upper():
        case "RUN" | "CMD" | "ENTRYPOINT" | "SHELL":
            return _listed(bare, text, (text,) if text else ())
        case "ADD" | "COPY" | "VOLUME":
            return _listed(bare, text, tuple(split_spaces(text)) if text else ())
        case "EXPOSE" | "FROM":
            return evolve(bare, arguments=tuple(split_spaces(text)) if text else ())
        case "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR":
            return evolve(bare, arguments=(text,) if text else ())
        case "ARG":
            return evolve(bare, arguments=tuple(split_words(text, escape)))
        case "ENV" | "LABEL":
            return evolve(bare, pairs=pairs(text, keyword.upper(), escape))
        case "HEALTHCHECK":
            return _health_check(bare, text)
        case "ONBUILD" if text:
            return evolve(bare, inner=_statement(text, escape))
    return bare


def _listed(bare: Statement, text: str, otherwise: tuple[str, ...]) -> Statement:
    found = json_list(text)
    return evolve(bare, arguments=otherwise if found is None else found, json=found is not None)


def _health_check(bare: Statement, text: str) -> Statement:
    """Return HEALTHCHECK: its first argument is a word, the others as of CMD."""
    kind = re.split(f"[{SPACES}]+", text, maxsplit=1)
    if not kind[0]:
        return bare
    rest = kind[1] if len(kind) > 1 else ""
    listed = _listed(bare, rest, (rest,) if rest else ())
    return evolve(listed, arguments=(kind[0], *listed.arguments))
