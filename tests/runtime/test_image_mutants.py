"""The conformance suite fails every runtime that breaks a promise about checkpoints."""

import os
import shutil

import pytest
from judging import fails
from moby_runtime.native.runtime import Native
from peers import binaries
from runtime.commands import with_criu

from moby.errors import Conflict, Corrupt, HostUnfit, NotFound
from moby.values import evolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user writes no images; runs as root")


class LeavesRunning(Native):
    def checkpoint(self, container_id, image, options, *, leave_running=False):
        super().checkpoint(container_id, image, options, leave_running=True)


class StopsAlways(Native):
    def checkpoint(self, container_id, image, options, *, leave_running=False):
        super().checkpoint(container_id, image, options)


class Overwrites(Native):
    def checkpoint(self, container_id, image, options, *, leave_running=False):
        shutil.rmtree(image, ignore_errors=True)
        super().checkpoint(container_id, image, options, leave_running=leave_running)


class TakesAnything(Native):
    def checkpoint(self, container_id, image, options, *, leave_running=False):
        try:
            super().checkpoint(container_id, image, options, leave_running=leave_running)
        except Conflict:
            if not image.exists():
                return
            raise


class LeavesFolder(Native):
    def checkpoint(self, container_id, image, options, *, leave_running=False):
        try:
            super().checkpoint(container_id, image, options, leave_running=leave_running)
        except Conflict:
            image.mkdir(exist_ok=True)
            raise


class EatsImages(Native):
    def restore(self, container_id, bundle, image, stdio, options):
        process = super().restore(container_id, bundle, image, stdio, options)
        shutil.rmtree(image)
        image.mkdir()
        return process


class BeginsAnew(Native):
    def restore(self, container_id, bundle, image, stdio, options):
        process = self.create(container_id, bundle, stdio)
        self.start(container_id)
        return process


class OtherPid(Native):
    def restore(self, container_id, bundle, image, stdio, options):
        process = super().restore(container_id, bundle, image, stdio, options)
        return evolve(process, pid=process.pid + 1)


class WrongKindOfError(Native):
    def restore(self, container_id, bundle, image, stdio, options):
        try:
            return super().restore(container_id, bundle, image, stdio, options)
        except (Corrupt, NotFound) as error:
            raise HostUnfit(str(error)) from error


class LeavesRecord(Native):
    def restore(self, container_id, bundle, image, stdio, options):
        try:
            return super().restore(container_id, bundle, image, stdio, options)
        except (Corrupt, NotFound):
            self.create(container_id, bundle, stdio)
            raise


WHOLE = ("test_checkpoint_and_restore", {})
REFUSED = ("test_checkpoint_wants_a_running_one_and_a_new_folder", {})
ROWS = [
    (LeavesRunning, *WHOLE),
    (EatsImages, *WHOLE),
    (BeginsAnew, *WHOLE),
    (OtherPid, *WHOLE),
    (StopsAlways, "test_checkpoint_that_leaves_it_running", {}),
    (Overwrites, *REFUSED),
    (TakesAnything, *REFUSED),
    (LeavesFolder, *REFUSED),
    *((WrongKindOfError, "test_restore_wants_an_image", {"state": state}) for state in ("absent", "nonsense")),
    (LeavesRecord, "test_restore_wants_an_image", {"state": "absent"}),
]


@pytest.mark.parametrize(
    ("mutant", "test", "arguments"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}") for row in ROWS]
)
def test_the_suite_fails_a_broken_runtime(mutant, test, arguments, root, tmp_path, monkeypatch) -> None:
    binaries.need("criu", "criu")
    fails(with_criu(mutant, root.parent, monkeypatch), root, test, arguments, tmp_path, monkeypatch)
