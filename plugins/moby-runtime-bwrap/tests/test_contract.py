"""The runtime keeps the contract of its kind, but for what it refuses by name."""

import pytest
from moby.testing.runtime import MakeRuntime, RuntimeSuite
from quiet import QUIET

from bwrap_runtime.runtime import Bwrap


class TestBwrap(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return lambda place: Bwrap(place.run, binary="", strict=False, log=QUIET)
