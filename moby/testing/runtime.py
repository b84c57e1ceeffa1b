"""The conformance suite of the kind `runtime`.

It runs as root, and then also tries runtimes that offer `rootless` as another user, or as any ordinary user.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.host.processes import set_child_subreaper
from moby.testing.boxes import Boxes, MakeRuntime, leaks, place_in
from moby.testing.bundles import Bundles, make_rootfs
from moby.testing.mounted import lend_view, own_mounts
from moby.testing.runtime_checkpoint import Checkpoint
from moby.testing.runtime_features import Features
from moby.testing.runtime_hooks import Hooks
from moby.testing.runtime_isolation import Isolation
from moby.testing.runtime_lifecycle import Lifecycle
from moby.testing.runtime_limits import Limits
from moby.testing.runtime_namespaces import Namespaces
from moby.testing.runtime_states import States

__all__ = ["Boxes", "MakeRuntime", "RuntimeFixtures", "RuntimeSuite", "boxes_of"]


class RuntimeFixtures:
    """What tests of runtimes are given; the first is the author's to bring."""

    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        """Return what makes the runtime under test, for the folders that it is given."""
        raise NotImplementedError

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def subreaper(cls) -> Iterator[None]:
        """Be what the contract asks of a runtime's caller."""
        set_child_subreaper()
        yield
        set_child_subreaper(False)

    @pytest.fixture(scope="class")
    @classmethod
    def shared_rootfs(cls) -> Iterator[Path]:
        """Lend a root file system that every user can read, below a folder that every user can enter."""
        folder = Path(tempfile.mkdtemp(prefix="moby-suite-"))
        folder.chmod(0o755)
        try:
            yield make_rootfs(folder / "rootfs")
        finally:
            shutil.rmtree(folder)

    @pytest.fixture
    def boxes(self, make_runtime: MakeRuntime, shared_rootfs: Path) -> Iterator[Boxes]:
        """Lend what makes containers; at the end none is left, nor anything else."""
        with boxes_of(make_runtime, shared_rootfs) as boxes:
            yield boxes


class RuntimeSuite(RuntimeFixtures, Lifecycle, States, Isolation, Namespaces, Features, Limits, Hooks, Checkpoint):
    """What every runtime must do. A subclass brings one fixture, `make_runtime`.

    ```python
    class TestMine(RuntimeSuite):
        @pytest.fixture
        def make_runtime(self) -> MakeRuntime:
            return lambda place: Mine(place)
    ```
    """


@contextmanager
def boxes_of(make_runtime: MakeRuntime, rootfs: Path) -> Iterator[Boxes]:
    """Lend what makes containers with a runtime; leaving removes them, and fails where anything is left."""
    folder = Path(tempfile.mkdtemp(prefix="test-", dir=rootfs.parent))
    folder.chmod(0o755)
    place = place_in(folder / "place")
    (folder / "bundles").mkdir()
    with own_mounts():  # in the host's, others mount too
        runtime = make_runtime(place)
        if RuntimeFeature.MOUNTS not in runtime.features:
            lend_view(rootfs)
        check = leaks(place.engine)
        left = next(check)
        boxes = Boxes(runtime, place, Bundles(folder / "bundles", rootfs))
        try:
            yield boxes
        finally:
            boxes.close()
            next(check, None)
            shutil.rmtree(folder)
    assert left == [], "this is left after the test"
