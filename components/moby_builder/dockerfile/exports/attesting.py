"""Attesting: what is stated of an export, for each platform: provenance, and a bill of materials."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.builder import ExportType
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Invalid, Unsupported
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.exports.attestations import provenance, sbom
from moby_builder.dockerfile.exports.attestations.bills import Bill, bills_in
from moby_builder.dockerfile.exports.attestations.packages import distribution_of, packages_in
from moby_builder.dockerfile.exports.attestations.statements import files_in, image_name, image_subjects, statement
from moby_builder.dockerfile.exports.packed import Statement
from moby_builder.dockerfile.exports.solution import Solution, Solved
from moby_builder.dockerfile.solver.effects import Tree

__all__ = ["Attesting"]

_FILES = {"provenance": "provenance.json", "sbom": "sbom.spdx.json"}
_CHECKS = {"provenance": provenance.check, "sbom": sbom.check}


@frozen
class _Predicate:
    kind: str
    type: str
    value: Mapping[str, Any]
    inline_only: bool
    filename: str


class Attesting:
    """States what is known of what was built."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def check(self, solution: Solution) -> None:
        """Raise Unsupported or Invalid where something is to be attested that isn't here."""
        for kind, attributes in _wanted(solution):
            if kind not in _CHECKS:
                raise Unsupported(
                    f"attestations of type {kind[:40]!r} aren't supported", hint=f"known are {', '.join(_CHECKS)}"
                )
            _CHECKS[kind](attributes)

    def wanted(self, solution: Solution, kind: ExportType = ExportType.IMAGE) -> bool:
        """Whether something is to be attested of images of a type; Docker's own archives hold no such thing."""
        return any(kind is not ExportType.DOCKER or not _inline_only(given) for _, given in _wanted(solution))

    def statements(self, solution: Solution, solved: Solved, names: Sequence[ImageReference]) -> tuple[Statement, ...]:
        """Return what is stated of an image."""
        platform = solved.platform
        shown = image_name(names[0], platform) if names else "image"
        with self._workspace.reading(Tree(solved.snapshot)) as root:
            found = list(_predicates(solution, solved, root, shown, self._bills(solved)))
        return tuple(_stated(each, names, platform) for each in found)

    def files(self, solution: Solution, solved: Solved, root: Path, prefix: str) -> dict[str, bytes]:
        """Return what is stated of a tree of files, as files; what is only for images is left out.

        Invalid where two of them would be one file: an image that makes bills names its files as it likes.
        """
        found = [
            each for each in _predicates(solution, solved, root, "files", self._bills(solved)) if not each.inline_only
        ]
        names = [each.filename for each in found]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise Invalid(f"two attestations would be the file {twice[0][:100]!r}", hint="give one another filename")
        subjects = list(files_in(root)) if found else []
        return {prefix + each.filename: statement(each.type, each.value, subjects) for each in found}

    def _bills(self, solved: Solved) -> list[Bill]:
        """Return what an image stated of what was built."""
        if solved.bills is None:
            return []
        with self._workspace.reading(Tree(solved.bills)) as folder:
            return list(bills_in(folder))


def _stated(predicate: _Predicate, names: Sequence[ImageReference], platform: Platform) -> Statement:
    def write(digest: Digest) -> bytes:
        return statement(predicate.type, predicate.value, image_subjects(names, platform, digest))

    return Statement(predicate.type, write)


def _wanted(solution: Solution) -> Iterator[tuple[str, Mapping[str, str]]]:
    for kind, attributes in sorted(solution.origin.request.attestations.items(), reverse=True):
        if attributes.get("disabled", "").lower() not in ("true", "1"):
            yield kind, attributes


def _inline_only(attributes: Mapping[str, str]) -> bool:
    return attributes.get("inline-only", "").lower() in ("true", "1")


def _predicates(
    solution: Solution, solved: Solved, root: Path, name: str, bills: Sequence[Bill]
) -> Iterator[_Predicate]:
    for kind, attributes in _wanted(solution):
        if kind == "sbom" and solved.bills is not None:
            for each in bills:
                yield _Predicate(kind, each.type, each.predicate, _inline_only(attributes), each.filename)
            continue
        if kind == "sbom":
            time_ns = solution.origin.completed_ns if solution.epoch_s is None else solution.epoch_s * 1_000_000_000
            value = sbom.bill(name, packages_in(root), distribution_of(root), time_ns)
            predicate_type = sbom.PREDICATE
        else:
            value = provenance.predicate(solution, solved, attributes)
            predicate_type = provenance.PREDICATE
        filename = attributes.get("filename") or _FILES[kind]
        yield _Predicate(kind, predicate_type, value, _inline_only(attributes), filename)
