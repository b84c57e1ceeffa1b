import pytest
from peers.assembled import assembled
from peers.box import archive
from rootless_engine import opened


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """The image that containers are made of, as an archive."""
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


@pytest.fixture(scope="session")
def rootless_pyz(tmp_path_factory):
    """The distribution `rootless`, as one file."""
    return assembled(tmp_path_factory.mktemp("rootless"), "rootless")


@pytest.fixture(scope="session")
def engine(tmp_path_factory, image, rootless_pyz):
    """An ordinary user's engine; at its end nothing of it is left."""
    with opened(tmp_path_factory.mktemp("engine"), image, rootless_pyz) as found:
        yield found
        found.check_gone()
