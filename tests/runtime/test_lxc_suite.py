"""The runtime over LXC keeps the contract of its kind."""

import pytest
from moby_runtime.lxc.runtime import Lxc
from runtime.lxc_library import need

from moby.testing.runtime import MakeRuntime, RuntimeSuite

pytestmark = pytest.mark.long


class TestLxc(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        library = need()
        return lambda place: Lxc(place, library)
