"""The same suites over the part as engines have it: a process of its own, which is killed, under a keeper."""

import os
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import moby_discovery.dns.plugin as dns
import pytest

from moby.component import facts_of
from moby.engine import start
from moby.placement import placed
from moby.plan import Instance, Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings
from moby.testing.discovery import Given, NamesSuite, PortsSuite

pytestmark = pytest.mark.slow
KEY = "discovery/dns"


def plan():
    (component,) = dns.moby_components()
    facts = facts_of(component, distribution="moby-framework 0", module=dns.__name__)
    return placed(Plan("names", (Instance(facts.kind, "dns", facts, served=True),)))


def eventually(check):
    deadline = time.monotonic() + 60
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


class Process:
    """The part's process, and its client."""

    def __init__(self, root):
        self.around = Surroundings(Roots.under(root, "names"), linger_s=0.2)
        self.stack = ExitStack()
        self.engine = self.stack.enter_context(start(plan(), around=self.around))
        self.launcher = Launcher(self.around.roots.run, linger_s=0.2)

    @property
    def part(self):
        return self.engine.instances[KEY]

    def pid(self):
        return eventually(lambda: next((each.pid for each in self.launcher.parts() if each.key == KEY), 0))

    def kill(self):
        before = self.pid()
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self.pid() != before)
        assert self.part.serves_names
        return self.part

    def end(self):
        pid = self.pid()
        self.part.reclaim()
        self.stack.close()
        self.launcher.end()
        eventually(lambda: not Path(f"/proc/{pid}").exists())


class Started:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.tmp_path = tmp_path

    @contextmanager
    def start(self):
        process = Process(self.tmp_path / "root")
        try:
            yield Given(process.part, process.kill)
        finally:
            process.end()


@pytest.mark.slow
class TestServedNames(Started, NamesSuite):
    pass


class TestServedPorts(Started, PortsSuite):
    pass
