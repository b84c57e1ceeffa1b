from contextlib import ExitStack, contextmanager

import pytest
from moby_discovery.dns.plugin import Config, make

from moby.contracts.ambient import Place
from moby.contracts.discovery import PortRequest
from moby.surroundings import TextLog
from moby.testing.discovery import Given, NamesSuite, PortsSuite
from moby.testing.holding import SameProcess
from moby.testing.net_namespaces import own_network


class Process:
    """A part that is made again, as its next process would."""

    def __init__(self, folder, wrap=lambda part: part):
        self.folder = folder
        self.wrap = wrap
        self.keeper = SameProcess()
        self.stack = ExitStack()

    def start(self):
        self.stack.close()
        place = Place(self.folder, self.folder, self.folder)
        self.part = make(Config(), keeper=self.keeper, place=place, log=TextLog("dns"))
        self.stack.enter_context(self.part)
        return self.wrap(self.part)

    def end(self):
        self.part.reclaim()
        self.stack.close()
        left = dict(self.keeper.copies)
        self.keeper.close()
        assert not left


class Started:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.tmp_path = tmp_path

    @contextmanager
    def start(self):
        process = Process(self.tmp_path)
        yield Given(process.start(), process.start)
        process.end()


class TestNames(Started, NamesSuite):
    pass


class TestPorts(Started, PortsSuite):
    pass


def test_many_ports_of_one_sandbox_are_all_given_back(tmp_path):
    """However many names they were held under."""
    with own_network():
        process = Process(tmp_path)
        part = process.start()
        wanted = [PortRequest("udp", 1 + at, "127.0.0.1", 20_000 + at) for at in range(600)]
        assert len(part.claim("one", wanted)) == 600
        assert sum(map(len, process.keeper.copies.values())) == 600
        part.claim("one", wanted[:300])
        assert sum(map(len, process.keeper.copies.values())) == 300
        part.leave("one")
        assert process.keeper.copies == {}
        process.end()
