"""The conformance suite of runtimes: descriptors beyond the standard streams."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.types import Stdio
from moby.errors import Unsupported
from moby.testing.boxes import Boxes, exit_code, read_all
from moby.testing.runtime_offers import lacks, offers

__all__ = ["Descriptors"]


class Descriptors:
    """Descriptors beyond the standard streams."""

    def test_more_descriptors_are_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.EXTRA_FDS):
            return
        with self._given(2) as stdio, pytest.raises(Unsupported):
            boxes.runtime.create("given", boxes.bundles.make("given", boxes.config("true")), stdio)

    def test_more_descriptors(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXTRA_FDS)
        script = "echo third >&3; echo fourth >&4; echo /proc/self/fd/* >&3"
        bundle = boxes.bundles.make("given", boxes.config("sh", "-c", script))
        with self._given(2) as stdio:
            read, write = os.pipe()
            # The numbers that they have here are those that others get there.
            given = (os.dup(write), write)
            process = boxes.runtime.create("given", bundle, Stdio(stdio.stdin, stdio.stdout, stdio.stderr, extra=given))
            for fd in given:
                os.close(fd)
        boxes.runtime.start("given")
        text = read_all(read)
        os.close(read)
        assert exit_code(process) == 0
        boxes.runtime.delete("given")
        third, fourth, descriptors = text.splitlines()
        assert (third, fourth) == ("third", "fourth")
        assert {int(word.rpartition("/")[2]) for word in descriptors.split()} - {5} == {0, 1, 2, 3, 4}

    def test_exec_with_more_descriptors(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXTRA_FDS)
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        with self._given(0) as stdio:
            read, write = os.pipe()
            process = boxes.config("sh", "-c", "echo third >&3")["process"]
            started = boxes.runtime.exec(
                box.id, process, Stdio(stdio.stdin, stdio.stdout, stdio.stderr, extra=(write,))
            )
            os.close(write)
        text = read_all(read)
        os.close(read)
        assert (exit_code(started), text) == (0, "third\n")

    @staticmethod
    @contextlib.contextmanager
    def _given(extra: int) -> Iterator[Stdio]:
        """Lend streams that are nothing, and more of the kind."""
        with ExitStack() as opened:
            fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, fd)
            yield Stdio(fd, fd, fd, extra=(fd,) * extra)
