import pytest
from clients.engine import opened_docker, opened_moby
from peers.assembled import assembled
from peers.box import archive


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """The image that containers are made of, as an archive."""
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def moby(tmp_path_factory, image, docker_pyz):
    """Our engine, in a sandbox; at its end nothing of it is left."""
    with opened_moby(tmp_path_factory.mktemp("moby"), image, docker_pyz) as found:
        yield found
        found.check_gone()


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def docker(tmp_path_factory, image):
    """Debian's dockerd, in a sandbox."""
    with opened_docker(tmp_path_factory.mktemp("dockerd"), image) as found:
        yield found


@pytest.fixture(scope="session")
def swarm_pyz(tmp_path_factory):
    """The distribution `swarm`, as one file."""
    return assembled(tmp_path_factory.mktemp("swarm"), "swarm")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory, image, swarm_pyz):
    """The distribution `swarm`, serving in a sandbox; at its end nothing of it is left."""
    with opened_moby(tmp_path_factory.mktemp("swarm"), image, swarm_pyz) as found:
        yield found
        found.check_gone()
