import pytest
from containers_engine import Engine

from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts


@pytest.fixture(scope="module", autouse=True)
def apart():
    """Engines here mount in the namespace that they find."""
    with own_mounts(shared=True):
        yield


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory):
    root = make_rootfs(
        tmp_path_factory.mktemp("image") / "rootfs",
        (*PROGRAMS, "ps", "dd", "stty", "rm", "ln", "mount", "chmod", "grep", "kill"),
    )
    (root / "etc/group").write_text("root:x:0:\nusers:x:100:ann\nextra:x:200:\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
    return root


@pytest.fixture
def engine(tmp_path, rootfs):
    """An engine with the service in it, entered."""
    with Engine(tmp_path, rootfs) as engine:
        yield engine
