import time
from collections import Counter

import pytest
from peers.box import archive
from peers.engines import opened

LEFT_S = 60


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """The image that containers are made of, as an archive."""
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


@pytest.fixture(scope="module")
def engine(request, tmp_path_factory, image):
    """The engine and the runtime that the module asks for, started once for all of its tests."""
    kind, runtime = request.param
    with opened(kind, runtime, tmp_path_factory.mktemp(kind), image) as found:
        yield found


@pytest.fixture
def tidy(engine):
    """After the test nothing of its containers is left: no process, mount, control group or file of their state."""
    yield
    engine.remove_all()
    limit = time.monotonic() + LEFT_S
    while (left := engine.left()) and time.monotonic() < limit:
        time.sleep(0.05)
    engine.before += Counter(left)  # so that the next test tells what it leaves itself
    assert left == []
