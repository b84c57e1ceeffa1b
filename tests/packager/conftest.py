"""Programs that packagers run, which aren't installed on every machine."""

from collections.abc import Iterator

import pytest
from peers.binaries import wrapped

TOOLS = (
    "mksquashfs", "unsquashfs", "systemd-dissect", "systemd-analyze", "mkfs.vfat", "mmd", "mcopy", "sfdisk", "ukify",
    "qemu-img", "xorriso", "mdir",
)  # fmt: skip


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the programs that packagers run on the PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", wrapped(tmp_path_factory.mktemp("tools"), *TOOLS))
        yield
