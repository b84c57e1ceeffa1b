import os
from pathlib import Path

import pytest
from moby.contracts.types import Stdio
from moby.testing.bundles import Bundles, config, make_rootfs
from quiet import Quiet

from bwrap_runtime.runtime import Bwrap


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rootfs(tmp_path_factory.mktemp("image") / "rootfs")


@pytest.fixture
def bundles(tmp_path: Path, rootfs: Path) -> Bundles:
    return Bundles(tmp_path / "bundles", rootfs)


@pytest.fixture
def log() -> Quiet:
    return Quiet()


@pytest.fixture
def runtime(tmp_path: Path, log: Quiet) -> Bwrap:
    return Bwrap(tmp_path / "run", binary="", strict=False, log=log)


@pytest.fixture
def null():
    fd = os.open(os.devnull, os.O_RDWR)
    yield Stdio(fd, fd, fd)
    os.close(fd)


@pytest.fixture
def data():
    """A function that returns a config.json that works here."""
    return lambda *args, **process: config(args or ("true",), rootless=os.geteuid() != 0, **process)
