import pytest
from clients.engine import opened_moby
from peers.box import archive


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def engine(tmp_path_factory, docker_pyz):
    """Our engine with verbs of its own, serving, in a sandbox where `docker` is too; its image is localhost/box.

    At its end nothing of it is left.
    """
    folder = tmp_path_factory.mktemp("verbs")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as found:
        yield found
        found.check_gone()
