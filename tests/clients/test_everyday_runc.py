"""The docker command's scenarios at an engine whose containers runc makes: dockerd's answers there, too."""

import pytest
from clients.test_everyday import test_the_answers_are_dockerds
from peers.assembled import assembled
from peers.binaries import need

__all__ = ["test_the_answers_are_dockerds"]

pytestmark = pytest.mark.long
ASSEMBLY = "moby: 1\nname: other\nextends: [docker]\ncomponents:\n  runtime: runc\n"


@pytest.fixture(scope="module")
def docker_pyz(tmp_path_factory):
    """The distribution `docker` with another runtime."""
    need("runc", "docker")
    return assembled(tmp_path_factory.mktemp("runc"), "other", ASSEMBLY)
