"""What every builder tells of its steps, of several builds too."""

import threading
from typing import TYPE_CHECKING

import pytest

from moby.contracts.builder import BuildFailed, Log, Request, Vertex
from moby.errors import NotFound
from moby.testing.builder_world import (
    BASE,
    PATIENCE_S,
    RANDOM,
    BuilderFixtures,
    Workshop,
    building,
    built,
    exported,
    files,
    written,
)
from moby.testing.lending import Building, Lending, Mixing

if TYPE_CHECKING:
    from moby.contracts.images import Image

__all__ = ["Progress"]


class Progress(BuilderFixtures):
    """What is told, and what goes on side by side."""

    def test_what_is_told(self, workshop: Workshop) -> None:
        """Each step as it begins and ends, and what it writes, from the stream that it writes to."""
        with building(workshop, BASE + "RUN echo out; echo err >&2\n") as at:
            at.build.solve(Request(no_cache=True))
            events = list(at.events)
        last = {each.digest: each for each in events if isinstance(each, Vertex)}
        assert last
        assert all(each.started_ns and each.completed_ns >= each.started_ns for each in last.values())
        [step] = [each for each in last.values() if "echo out" in each.name]
        logs = [each for each in events if isinstance(each, Log) and each.vertex == step.digest]
        assert b"out\n" in b"".join(each.data for each in logs)
        assert b"err\n" in b"".join(each.data for each in logs)

    def test_what_is_told_of_a_failure(self, workshop: Workshop) -> None:
        """The step says it."""
        with building(workshop, BASE + "RUN exit 9\n") as at:
            with pytest.raises(BuildFailed):
                at.build.solve(Request())
            [*_, last] = [each for each in at.events if isinstance(each, Vertex) and "exit 9" in each.name]
        assert "9" in last.error

    def test_side_by_side(self, workshop: Workshop) -> None:
        """Builds don't disturb each other, though they are of the same."""
        images: list[Image] = []
        text = BASE + "COPY a /\n" + RANDOM

        def run() -> None:
            images.append(built(workshop, text, {"a": "both"}))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE_S)
        assert len(images) == 3
        assert all(files(workshop, each, "a") == ["both"] for each in images)

    def test_files_that_come_side_by_side(self, workshop: Workshop) -> None:
        """Are whole, though content comes after all names and in turn, as clients send it."""
        given = {f"d/{number}": f"{number} " * (100 + number) for number in range(5)} | {"d/empty": ""}
        context = written(workshop.folder, {"Dockerfile": BASE + "COPY d /d/\n", **given})
        with Building(workshop.builder, Mixing({"context": context})) as at:
            image = exported(workshop, at, at.build.solve(Request()))
        assert files(workshop, image, *given) == [*given.values()]

    def test_a_folder_that_is_not_lent(self, workshop: Workshop) -> None:
        """Is missed."""
        with Building(workshop.builder, Lending()) as at, pytest.raises((BuildFailed, NotFound)):
            at.build.solve(Request())
