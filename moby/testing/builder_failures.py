"""What every builder says of what goes wrong, and how it is given up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from moby.contracts.builder import BuildFailed, Range, Request
from moby.errors import MobyError, Unavailable
from moby.testing.builder_world import BASE, PATIENCE_S, BuilderFixtures, Workshop, building, built, output
from moby.testing.lending import Building

__all__ = ["WRONG", "Failures"]

WRONG = (
    ("NONSENSE x\n", "(?i)nonsense", 2),
    ("COPY nothing /\n", "nothing", 2),
    ("COPY --nonsense=1 a /\n", "nonsense", 2),
    ("COPY --from=nowhere/at-all:1 a /\n", "nowhere/at-all", 2),
)
"""What comes after a FROM and is wrong, what an error says of it, and its line."""


class Failures(BuilderFixtures):
    """What goes wrong."""

    def test_a_step_that_fails(self, workshop: Workshop) -> None:
        """It is told with its exit code and its lines, and nothing gets the name."""
        with building(workshop, BASE + "ENV A=b\nRUN echo said && \\\n  exit 7\n") as at:
            with pytest.raises(BuildFailed, match="7") as caught:
                at.build.solve(Request())
            assert caught.value.code == 7
            assert caught.value.ranges == (Range(3, 4),)
            assert b"said" in output(at)

    @pytest.mark.parametrize(("text", "said", "line"), WRONG)
    def test_a_file_that_is_wrong(self, workshop: Workshop, text: str, said: str, line: int) -> None:
        """Says what, and on which line, before anything gets the name."""
        with building(workshop, BASE + text, {"a": ""}) as at, pytest.raises(MobyError, match=said) as caught:
            at.build.solve(Request())
        if isinstance(caught.value, BuildFailed) and caught.value.ranges:
            assert caught.value.ranges[0].first == line

    def test_no_file(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, BASE) as at, pytest.raises(MobyError, match="Missing"):
            at.build.solve(Request(dockerfile="Missing"))

    def test_no_such_target(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, BASE) as at, pytest.raises(MobyError, match="missing"):
            at.build.solve(Request(target="missing"))

    def test_no_such_image(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, "FROM localhost:1/missing:1\n") as at, pytest.raises(MobyError, match="missing"):
            at.build.solve(Request())

    def test_a_secret_that_nobody_lends(self, workshop: Workshop) -> None:
        """Is an error where it is required."""
        text = BASE + "RUN --mount=type=secret,id=key,required=true cat /run/secrets/key\n"
        with building(workshop, text) as at, pytest.raises(MobyError, match="key"):
            at.build.solve(Request())

    def test_giving_up(self, workshop: Workshop) -> None:
        """What goes on fails at once, and again is fine."""
        with _going_on(workshop) as (at, failure):
            at.build.cancel()
            at.build.cancel()
            assert type(failure()) is Unavailable
            with pytest.raises(Unavailable):
                at.build.solve(Request())

    def test_closing(self, workshop: Workshop) -> None:
        """Ends what goes on; twice is fine, and the builder builds on."""
        with _going_on(workshop) as (at, failure):
            at.build.close()
            assert type(failure()) is Unavailable
            at.build.close()
        built(workshop, BASE + "ENV A=b\n")


@contextmanager
def _going_on(workshop: Workshop) -> Iterator[tuple[Building, Callable[[], MobyError | None]]]:
    """Yield a build in the midst of a step, and what waits for its end and returns how it has failed."""
    failed: list[MobyError] = []

    def solve() -> None:
        try:
            at.build.solve(Request(no_cache=True))
        except MobyError as error:
            failed.append(error)

    def failure() -> MobyError | None:
        thread.join(PATIENCE_S)
        return failed[0] if failed else None

    with building(workshop, BASE + "RUN echo begun; sleep 600\n") as at:
        thread = threading.Thread(target=solve)
        thread.start()
        assert at.wait_for(lambda events: b"begun" in output(at), PATIENCE_S)
        yield at, failure
