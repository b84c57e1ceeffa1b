import pytest
from clients.engine import opened_moby
from peers.images import archive

from moby import distribution


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def engine(tmp_path_factory):
    """Our engine with verbs of its own, serving, in a sandbox where `docker` is too; its image is localhost/box.

    At its end nothing of it is left.
    """
    folder = tmp_path_factory.mktemp("verbs")
    distribution.assemble("docker", folder)
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, folder / "docker" / "docker.pyz") as found:
        yield found
        found.check_gone()
