"""What builders are tested in: a workshop, and what tests do again and again there."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.builder import Builder, Export, ExportType, Log, Request, Result
from moby.contracts.images import Image, Images
from moby.testing.lending import Building, Lending

__all__ = [
    "BASE", "PATIENCE_S", "RANDOM", "BuilderFixtures", "Files", "Workshop", "building", "built", "exported", "files",
    "output", "written",
]  # fmt: skip

Files = Mapping[str, str]
PATIENCE_S = 60.0
BASE = "FROM box\n"
RANDOM = "RUN cat /proc/sys/kernel/random/uuid > /made\n"


@frozen
class Workshop:
    """What a subclass brings: the part under test, entered, and the images of its engine, with one that is `box`.

    It has a shell, cat, ls, sleep, and `ann` (1000) in /etc/passwd; the environment `PATH=/bin`, the command `sh`.
    """

    builder: Builder
    images: Images
    folder: Path
    """Where tests may write."""


class BuilderFixtures:
    """What a subclass brings."""

    @pytest.fixture
    def workshop(self) -> Iterator[Workshop]:
        """Return what is tested."""
        raise NotImplementedError


def written(folder: Path, files: Files) -> Path:
    """Return a new folder with files, whose times are always the same."""
    context = Path(tempfile.mkdtemp(dir=folder))
    for name, text in files.items():
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (*context.rglob("*"), context):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return context


def building(workshop: Workshop, text: str, given: Files | None = None, **lent: Any) -> Building:
    """Open a build of a Dockerfile and other files."""
    context = written(workshop.folder, {"Dockerfile": text, **(given or {})})
    return Building(workshop.builder, Lending({"context": context}, **lent))


def exported(workshop: Workshop, at: Building, result: Result) -> Image:
    """Give a result to the engine, and return the image."""
    [told] = at.build.export(result, [Export(ExportType.IMAGE, names=("built:1",))])
    assert told.image is not None
    return workshop.images.get(str(told.image))


def built(workshop: Workshop, text: str, given: Files | None = None, request: Request | None = None) -> Image:
    """Build a Dockerfile, and return the image."""
    with building(workshop, text, given) as at:
        return exported(workshop, at, at.build.solve(request or Request()))


def files(workshop: Workshop, image: Image, *names: str) -> list[str]:
    """Return what files of an image hold."""
    with workshop.images.rootfs(image) as root:
        return [(root / each).read_text(encoding="utf-8") for each in names]


def output(at: Building) -> bytes:
    """Return all that steps have written."""
    return b"".join(each.data for each in at.events if isinstance(each, Log))
