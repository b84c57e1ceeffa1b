"""An engine that builds nothing: our front end for docker, with a builder that answers at once.

    python -m benchmarks.null_engine SOCKET

What a build takes here is the client's own, and the protocol's. With the build argument LEND the client's folder
`context` is listed, of which nothing is wanted.
"""

import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from moby_events.ring.ring import Ring
from moby_frontend.docker.plugin import Config, make

from moby.contracts.ambient import Place
from moby.contracts.builder import (
    CacheExport,
    Entry,
    Event,
    Export,
    Exported,
    Keep,
    Reclaimed,
    Request,
    Result,
    Selection,
    Session,
    Target,
)
from moby.contracts.types import ImageReference, Platform
from moby.errors import NotFound
from moby.oci.digest import sha256

MANIFEST = b"{}"


class Unwanted:
    """A folder of which nothing is wanted."""

    def entry(self, entry: Entry) -> bool:
        """No."""
        return False

    def content(self, path: str, chunk: bytes) -> None:
        """Nothing comes."""


class NullBuild:
    """Is done before it begins."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def solve(self, request: Request) -> Result:
        """Return one target, of nothing."""
        if "LEND" in request.arguments:
            self._session.folder("context", Selection(), Unwanted())
        platform = Platform.host()
        config = {"architecture": platform.architecture, "os": platform.os, "config": {}}
        return Result((Target(platform, "nothing", config),))

    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        """Say that it is done."""
        digest = sha256(MANIFEST)
        kind = "application/vnd.oci.image.manifest.v1+json"
        return tuple(Exported(digest, digest, kind, len(MANIFEST), each.names) for each in exports)

    def files(self, target: Target) -> NoReturn:
        """Have none."""
        raise NotFound(f"there is no {target.reference}")

    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> NoReturn:
        """Know none."""
        raise NotFound(f"there is no {reference}")

    def cancel(self) -> None:
        """Nothing goes on."""

    def close(self) -> None:
        """Nothing is held."""


class NullBuilder:
    """Keeps nothing."""

    def open(self, session: Session, tell: Callable[[Event], None]) -> NullBuild:
        """Begin a build."""
        return NullBuild(session)

    def usage(self) -> tuple[()]:
        """Return nothing."""
        return ()

    def prune(self, keep: Keep) -> Reclaimed:
        """Remove nothing."""
        return Reclaimed((), 0)


def front_end(folder: Path) -> Any:
    """Return the front end for docker with this builder, and parts that are never asked."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from frontend.fake_parts import FakeImages, FakeNetworks, FakeSupervisor  # type: ignore[import-not-found]
    from frontend.fakes import FakeContainers  # type: ignore[import-not-found]
    from supervisor.ambient import ListLog, RealClock  # type: ignore[import-not-found]

    clock, place = RealClock(), Place(folder / "state", folder / "run", folder / "cache", "null")
    events = Ring(clock)
    containers: Any = FakeContainers(events)
    return make(
        Config(), containers=containers, images=FakeImages(), volumes=None, networks=FakeNetworks(),  # type: ignore[arg-type]
        events=events, supervisor=FakeSupervisor(), image_registry=None, builder=NullBuilder(), orchestrator=None,
        tracer=None,
        place=place, clock=clock, log=ListLog(),
    )  # fmt: skip


def main() -> None:
    """Serve at a socket until a signal ends this process."""
    (socket,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for each in ("state", "run", "cache"):
            (folder / each).mkdir()
        served = stack.enter_context(front_end(folder))
        served.listen([f"unix://{socket}"])
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
