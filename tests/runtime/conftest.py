import shutil
import tempfile
from pathlib import Path

import pytest

from moby.testing.bundles import make_rootfs


@pytest.fixture(scope="module")
def root():
    """A root file system for all mutants of a module."""
    folder = Path(tempfile.mkdtemp(prefix="moby-mutants-"))
    folder.chmod(0o755)
    yield make_rootfs(folder / "rootfs")
    shutil.rmtree(folder)
