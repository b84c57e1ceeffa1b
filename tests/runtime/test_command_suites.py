"""The runtimes that are commands keep the contract of their kind."""

import pytest
from runtime.commands import maker, without_hybrid

from moby.testing.runtime import MakeRuntime, RuntimeSuite

pytestmark = pytest.mark.slow


class TestRunc(RuntimeSuite):
    @pytest.fixture
    def make_runtime(self, shared_rootfs, monkeypatch) -> MakeRuntime:
        return maker("runc", shared_rootfs.parent, monkeypatch)


class TestCrun(RuntimeSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def one_version(cls):
        with without_hybrid():
            yield

    @pytest.fixture
    def make_runtime(self, shared_rootfs, monkeypatch) -> MakeRuntime:
        return maker("crun", shared_rootfs.parent, monkeypatch)
