"""The native runtime keeps the contract of its kind."""

import pytest
from moby_runtime.native.runtime import Native

from moby.testing.runtime import MakeRuntime, RuntimeSuite


class TestNative(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native
