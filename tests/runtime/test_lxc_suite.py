"""The runtime over LXC keeps the contract of its kind."""

import os
from collections.abc import Iterator

import pytest
from moby_runtime.lxc.runtime import Lxc
from runtime.lxc_library import need

from moby.testing.runtime import MakeRuntime, RuntimeSuite

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="this runtime is for root alone; runs as root"),
]


class TestLxc(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self) -> Iterator[MakeRuntime]:
        library, made = need(), []

        def make(place):
            made.append(Lxc(place, library))
            return made[-1]

        yield make
        for each in made:
            each.reclaim()
