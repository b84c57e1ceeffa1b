"""The assembly `classic-2016`: docker's own clients at an engine whose containers are containerd's and runc's."""

import pytest
from clients.test_dockerpy import TestFiles, TestImages, TestLife, TestRest, TestRun, TestStreams, client, collected, up
from clients.test_everyday import test_the_answers_are_dockerds
from clients.test_networks import (
    test_a_move_to_another_network,
    test_another_has_no_port_that_is_taken,
    test_by_a_published_port,
    test_by_a_published_port_from_itself_and_from_others,
    test_by_name,
    test_connections_outlive_the_engine,
    test_nobody_is_found_from_another_network,
    test_nothing_is_left_of_a_container,
    town,
)  # fmt: skip
from peers.assembled import assembled

__all__ = [
    "TestFiles", "TestImages", "TestLife", "TestRest", "TestRun", "TestStreams", "client", "collected",
    "test_a_move_to_another_network", "test_another_has_no_port_that_is_taken", "test_by_a_published_port",
    "test_by_a_published_port_from_itself_and_from_others", "test_by_name", "test_connections_outlive_the_engine",
    "test_nobody_is_found_from_another_network", "test_nothing_is_left_of_a_container", "test_the_answers_are_dockerds",
    "town", "up",
]  # fmt: skip

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def docker_pyz(tmp_path_factory):
    """The distribution `classic-2016`, in place of `docker`."""
    return assembled(tmp_path_factory.mktemp("classic"), "classic-2016")
