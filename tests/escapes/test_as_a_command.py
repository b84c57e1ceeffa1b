"""Escapes once more, against the native runtime as the command that other engines start: `moby-runtime`."""

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_descriptors
import test_paths
from attrs import evolve
from moby_runtime.oci_command.runtime import OciCommand
from moby_runtime.runc import RUNC
from test_groups import test_mounting_them, test_release_agents
from test_masks import test_settings_of_the_host, test_what_is_hidden_is_not_remounted, test_what_is_masked
from test_privileges import test_parts_of_the_kernel

from moby.host import processes
from moby.testing.boxes import Boxes
from moby.testing.runtime import boxes_of

pytestmark = pytest.mark.slow
__all__ = [
    "test_mounting_them", "test_parts_of_the_kernel", "test_release_agents",
    "test_settings_of_the_host", "test_what_is_hidden_is_not_remounted", "test_what_is_masked",
]  # fmt: skip


@pytest.fixture
def boxes(shared_rootfs: Path) -> Iterator[Boxes]:
    """What makes containers by calling the command."""
    found = shutil.which("moby-runtime", path=sysconfig.get_path("scripts")) or shutil.which("moby-runtime")
    assert found, "moby-runtime is installed with the project"
    tool = evolve(RUNC, name="moby-runtime", oldest=(0, 1), since=())
    processes.set_child_subreaper()
    with boxes_of(lambda place: OciCommand(place, tool, found), shared_rootfs) as made:
        assert made.run("true") == (0, "")
        yield made
    processes.set_child_subreaper(False)


careless_caller = test_descriptors.careless_caller


class TestOpenByACommand(test_descriptors.TestWhatIsOpen):
    test_they_are_seen_without_care = None
    test_a_working_folder_is_the_hosts_without_care = None
    test_as_a_working_folder = None
    test_of_a_hook = None


@pytest.mark.long
class TestLinksMetByACommand(test_paths.TestLinksInImages):
    test_mount_targets_are_made_outside_without_care = None
    test_it_makes_devices_outside_without_care = None
    test_proc_elsewhere_in_the_root = None


class TestCodeMetByACommand(test_descriptors.TestCodeOfTheImage):
    test_nothing_of_it_is_run_to_look_at_it = None


@pytest.mark.long
class TestFilesByACommand(test_descriptors.TestFilesOfTheHost):
    pass
