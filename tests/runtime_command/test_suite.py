"""The command keeps the contract of runtimes, driven as runc and crun are."""

import pytest
from moby_runtime.native.features import FEATURES
from moby_runtime.oci_command.runtime import OciCommand
from moby_runtime.oci_command.tool import NEVER, Tool
from runtime.commands import with_criu

from moby.testing.runtime import MakeRuntime, RuntimeSuite

COMMAND = Tool("moby-runtime", "moby-framework", (0, 1), FEATURES, since=(("vm", NEVER),), unchanged=("devices",))


@pytest.mark.slow
class TestCommand(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self, readable_program, shared_rootfs, monkeypatch) -> MakeRuntime:
        return with_criu(
            lambda place: OciCommand(place, COMMAND, readable_program[0]), shared_rootfs.parent, monkeypatch
        )
