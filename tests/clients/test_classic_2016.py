"""The assembly `classic-2016`: docker's own clients at an engine whose containers are containerd's and runc's."""

import pytest
from clients.test_dockerpy import TestFiles, TestLife, TestRun, TestStreams, client, collected, up

from moby import distribution

__all__ = ["TestFiles", "TestLife", "TestRun", "TestStreams", "client", "collected", "up"]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def docker_pyz(tmp_path_factory):
    """The distribution `classic-2016`, in place of `docker`."""
    folder = tmp_path_factory.mktemp("classic")
    distribution.assemble("classic-2016", folder)
    return folder / "classic-2016" / "classic-2016.pyz"
