"""An engine under load: hundreds of containers at once, thousands one after the other, a flood beside other calls."""

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest
from peers.box import NAME
from peers.sandbox import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
CROWD = 500
CYCLES = int(os.environ.get("MOBY_SOAK_CYCLES", "2000"))
WARM = 100
FLOOD_BYTES = 256 << 20
TICKS = os.sysconf("SC_CLK_TCK")
PART = " moby.engine.part "
PROCESSES = (" serve --host ", "/keeper/program-", PART)
"""What tells the engine's own processes by their command lines."""


@pytest.fixture
def client(moby):
    found = docker.APIClient(base_url=f"unix:/{moby.sandbox.seen('/run/docker.sock')}", version="1.45", timeout=600)
    yield found
    found.close()


def own(moby):
    """Return the pids of the engine's lasting processes, as seen inside: none of those that a part has for a while."""
    found = {pid: words for pid, words in moby.sandbox.processes().items() if any(each in words for each in PROCESSES)}
    parts = {pid for pid, words in found.items() if PART in words}
    lasting = []
    for pid in found:
        with contextlib.suppress(FileNotFoundError):
            if int(fields(moby, pid)[1]) not in parts:
                lasting.append(pid)
    return lasting


def proc(moby, pid):
    return moby.sandbox.seen("/proc") / str(pid)


def fields(moby, pid):
    """Return what stat says of a process, from its state on (proc_pid_stat(5))."""
    return (proc(moby, pid) / "stat").read_text().rpartition(")")[2].split()


def cpu_s(moby, pid):
    return sum(map(int, fields(moby, pid)[11:13])) / TICKS


def parts_cpu_s(moby):
    """Return the processor time of all of them but the one that answers clients."""
    return sum(cpu_s(moby, pid) for pid in own(moby) if pid != moby.pid())


def memory_kib(moby):
    """Return what all of the engine's processes have in memory for themselves."""
    total = 0
    for pid in own(moby):
        for line in (proc(moby, pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1])
    return total


def descriptors(moby):
    return sum(len(list((proc(moby, pid) / "fd").iterdir())) for pid in own(moby))


def made(client, *command, name=None):
    host = client.create_host_config(network_mode="none")
    found = client.create_container(NAME, list(command), host_config=host, name=name)["Id"]
    client.start(found)
    return found


def listing_s(moby, client, count):
    """Return the engine's processor time for one `docker ps`, by the mean of some."""
    rounds = 20
    engine = moby.pid()
    assert len(client.containers()) == count  # and what is read once has been read
    began = cpu_s(moby, engine)
    for _ in range(rounds):
        assert len(client.containers()) == count
    return (cpu_s(moby, engine) - began) / rounds


def test_many_containers_at_once(moby, client):
    """All are there, are shown in a time that grows as their number does, and go."""
    with ThreadPoolExecutor(8) as pool:
        start = [pool.submit(made, client, "sleep", "100000", name=f"few{number}") for number in range(CROWD // 10)]
        few = [each.result() for each in start]
        cheap = listing_s(moby, client, len(few))
        start = [pool.submit(made, client, "sleep", "100000") for _ in range(CROWD - len(few))]
        every = [*few, *(each.result() for each in start)]
        assert len(set(every)) == CROWD
        dear = listing_s(moby, client, CROWD)
        # Ten times as many may take ten times as long; and what is read of a clock is in steps.
        assert dear <= 20 * max(cheap, 2 / TICKS / 20)
        assert len(moby.out("ps", "-q").split()) == CROWD
        assert moby.out("exec", "few1", "echo", "up") == "up"
        assert sum(words == "sleep 100000" for words in moby.sandbox.processes().values()) == CROWD
        for done in [pool.submit(client.remove_container, each, force=True) for each in every]:
            done.result()
    assert client.containers(all=True) == []


def cycle(client):
    """Run a container, run something in it, stop it, and remove it."""
    found = made(client, "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    done = client.exec_create(found, ["echo", "in"])["Id"]
    assert client.exec_start(done) == b"in\n"
    assert client.exec_inspect(done)["ExitCode"] == 0
    client.stop(found, timeout=0)
    assert client.logs(found) in (b"up\n", b"")
    client.remove_container(found)


def test_a_soak_leaves_memory_and_descriptors_as_they_were(moby, client):
    for _ in range(WARM):
        cycle(client)
    memory, open_ = memory_kib(moby), descriptors(moby)
    for _ in range(CYCLES):
        cycle(client)
    until(lambda: descriptors(moby) <= open_ + 4, "as many descriptors as before")
    grown = memory_kib(moby) - memory
    assert grown < max(4096, memory // 10), f"{grown} KiB more of {memory} after {CYCLES} cycles"
    assert client.containers(all=True) == []
    assert not [each for each in moby.left() if "control group" in each or "mount" in each]


@pytest.mark.parametrize("length", [80, 4096])
def test_a_flood_is_kept_up_with_beside_calls(moby, client, length):
    """Lines are logged whole while others call, by less processor time than 100 MB a second would leave for it."""
    count = FLOOD_BYTES // length
    before = parts_cpu_s(moby)
    flood = made(client, "sh", "-c", f"yes {'x' * (length - 1)} | head -n {count}")
    ended = threading.Thread(target=client.wait, args=(flood,))
    ended.start()
    calls = 0
    while ended.is_alive():
        assert len(client.containers()) <= 2
        cycle(client)
        calls += 1
    ended.join()
    assert calls > 0
    shown = client.inspect_container(flood)
    assert shown["State"]["ExitCode"] == 0
    with moby.sandbox.seen(shown["LogPath"]).open("rb") as log:
        lines = sum(1 for _ in log)
        log.seek(0)
        assert len(json.loads(log.readline())["log"]) == length
    assert lines == count
    assert parts_cpu_s(moby) - before < FLOOD_BYTES / 100e6
    client.remove_container(flood)
