"""Kills of supervisor, keeper and engine at random moments, while containers write, end, and are made and deleted."""

import contextlib
import os
import random
import select
import threading
import time

import pytest
from serving import PATIENCE_S, eventually
from test_local_killed import COUNTS, all_counted, make, said, served  # noqa: F401 - fixtures

from moby.contracts.log_driver import LogConfig
from moby.contracts.supervisor import EventKind, TaskConfig
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, MobyError, NotFound, Unavailable
from moby.testing.bundles import Bundles, config

WRITERS = 4
WHICH = [["supervisor"], ["supervisor"], ["keeper"], ["keeper", "supervisor"], ["supervisor", "keeper"]]


class Traffic(threading.Thread):
    """Makes tasks, has them end, and deletes them, again and again; what a kill interrupted is looked at."""

    def __init__(self, served, folder, rootfs):  # noqa: F811
        super().__init__(daemon=True)
        self.served, self.folder = served, folder
        self.bundles = Bundles(folder / "traffic", rootfs)
        self.stopping = threading.Event()
        self.done = 0
        self.keepers = 0
        """How often a keeper was killed; with it and the supervisor goes what lies in the pipes of those that end."""
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.once(self.done)
                self.done += 1
        except BaseException as error:
            self.error = error

    def once(self, number):
        supervisor, task, code = self.served.supervisor, f"t{number}", number % 200
        data = config(["sh", "-c", f"echo out {number}; exit {code}"], rootless=os.geteuid() != 0)
        log, keepers = self.folder / f"log-{task}", self.keepers
        log.mkdir()
        bundle = self.bundles.make(task, data)
        with contextlib.suppress(Unavailable, Conflict):
            supervisor.create(TaskConfig(task, bundle, log=LogConfig(task, log, "lines")))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline, (task, self.served.log()[-2000:])
            try:
                state = supervisor.state(task)
                if state.status is TaskStatus.CREATED:
                    supervisor.start(task)
                elif state.status is TaskStatus.STOPPED:
                    self.judge(state, code, log, keepers)
                    supervisor.delete(task)
                    return
            except NotFound:
                return  # it was being made or deleted; nothing of it is left
            except (Unavailable, Conflict):
                pass  # a kill came between; its state says what is left to be done
            time.sleep(0.005)

    def judge(self, state, code, log, keepers):
        """An exit code may be unknown, but not wrong; output may be lost where that is counted."""
        if state.exit.code is None:
            return
        assert state.exit.code == code
        lost = state.lost_bytes or keepers != self.keepers
        assert lost or said(log) == f"out {state.id[1:]}\n".encode()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_at_random_moments(served, make, tmp_path, rootfs):  # noqa: F811
    chance = random.Random(20261124)
    folders = {f"w{number}": make(f"w{number}", COUNTS, driver="lines") for number in range(WRITERS)}
    pids = {task: served.supervisor.state(task).pid for task in folders}
    traffic = Traffic(served, tmp_path, rootfs)
    traffic.start()
    for _ in range(60):
        time.sleep(chance.uniform(0, 0.5))
        if traffic.error is not None:
            raise traffic.error
        served.supervisor.runtimes()  # where both were killed, it is a call that brings them back
        which = chance.choice(WHICH)
        traffic.keepers += "keeper" in which
        with contextlib.suppress(ProcessLookupError):
            served.kill(*which)
    for task, pid in pids.items():
        assert served.supervisor.state(task).pid == pid
    traffic.stopping.set()
    traffic.join(2 * PATIENCE_S)
    assert (traffic.is_alive(), traffic.error) == (False, None)
    assert traffic.done > 20
    for task, folder in folders.items():
        ended = served.supervisor.exit_fd(task)
        served.supervisor.kill(task, 15)
        assert select.select([ended], [], [], PATIENCE_S)[0]
        os.close(ended)
        state = served.supervisor.state(task)
        assert state.exit.code == 7
        eventually(lambda folder=folder: said(folder).endswith(b"end\n"))
        all_counted(said(folder), state.lost_bytes)
        served.supervisor.delete(task)
    numbers = [each.number for each in served.supervisor.journal(0)]
    assert numbers == [*range(1, len(numbers) + 1)]
    exits = [each.task_id for each in served.supervisor.journal(0) if each.kind is EventKind.EXIT]
    assert len(exits) == len(set(exits)), "an exit is told once"
    with contextlib.suppress(MobyError):
        for each in served.supervisor.list():
            served.supervisor.delete(each.id, force=True)
