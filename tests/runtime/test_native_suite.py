"""The native runtime keeps the contract of its kind."""

import pytest
from moby_runtime.native.runtime import Native
from runtime.commands import with_criu

from moby.testing.runtime import MakeRuntime, RuntimeSuite


class TestNative(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self, shared_rootfs, monkeypatch) -> MakeRuntime:
        return with_criu(Native, shared_rootfs.parent, monkeypatch)
