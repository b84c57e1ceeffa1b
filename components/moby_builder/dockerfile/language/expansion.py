"""Which texts of an instruction variables are put into: those that BuildKit puts them into."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import evolve

from moby_builder.dockerfile.language import words
from moby_builder.dockerfile.language.failures import place
from moby_builder.dockerfile.language.instructions import (
    Add,
    Copy,
    Dockerfile,
    Env,
    Heredoc,
    Instruction,
    Label,
    Pair,
    StopSignal,
    User,
    Volume,
    Workdir,
)

__all__ = ["expanded", "file_arguments"]

Files = TypeVar("Files", Add, Copy)


def expanded(
    instruction: Instruction, expand: Callable[[str], str], expand_document: Callable[[str], str]
) -> Instruction:
    """Return an instruction with variables put in.

    `expand_document` does it for here-documents, where quotes mean nothing and the escape is always `\\`.

    ARG, EXPOSE, FROM and the mounts of RUN stay as they are: what is put into them depends on more.
    """
    match instruction:
        case Env() | Label():
            pairs = tuple(Pair(expand(each.key), expand(each.value), each.spaced) for each in instruction.pairs)
            return evolve(instruction, pairs=pairs)
        case Copy():
            return _files(instruction, expand, expand_document)
        case Add():
            return evolve(_files(instruction, expand, expand_document), checksum=expand(instruction.checksum))
        case Volume():
            return evolve(instruction, paths=tuple(map(expand, instruction.paths)))
        case User():
            return evolve(instruction, user=expand(instruction.user))
        case Workdir():
            return evolve(instruction, path=expand(instruction.path))
        case StopSignal():
            return evolve(instruction, signal=expand(instruction.signal))
    return instruction


def _files(instruction: Files, expand: Callable[[str], str], expand_document: Callable[[str], str]) -> Files:
    return evolve(
        instruction,
        owner=expand(instruction.owner),
        mode=expand(instruction.mode),
        sources=tuple(map(expand, instruction.sources)),
        target=expand(instruction.target),
        files=tuple(_document(each, expand_document) for each in instruction.files),
    )


def _document(heredoc: Heredoc, expand: Callable[[str], str]) -> Heredoc:
    """Return a here-document as it is to be written: variables put in, tabs that are no part of it taken away."""
    content = expand(heredoc.text) if heredoc.expand else heredoc.text
    return evolve(heredoc, content=content, expand=False, chomp=False)


def file_arguments(dockerfile: Dockerfile, given: Mapping[str, str], predefined: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the arguments before the first FROM, and of those that are there by themselves."""
    values = {name: given.get(name, value) for name, value in predefined.items()}
    for instruction in dockerfile.arguments:
        for argument in instruction.arguments:
            if argument.name in given:
                values[argument.name] = given[argument.name]
            elif argument.default is not None:
                with place(dockerfile.name, dockerfile.source, instruction.written.range):
                    found = words.expand(argument.default, values, escape=dockerfile.escape)
                values[argument.name] = found.text
    return values
