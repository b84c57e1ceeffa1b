import fcntl
import os
import signal
import subprocess
import sys

import pytest
from moby_events.ring.ring import Ring
from moby_metadata.sqlite.store import Store
from moby_volume.directory.driver import Directory
from moby_volume.local.driver import Local
from moby_volumes.registry.plugin import Config, make

from moby.contracts.ambient import Place
from moby.errors import Conflict, HostUnfit, NotFound
from moby.surroundings import SystemClock
from moby.testing.volume_mutants import MUTANTS
from moby.testing.volumes import Given, VolumesSuite


class World:
    def __init__(self, folder):
        self.places = {each: Place(folder / each, folder / f"{each}-run", folder) for each in ("own", "local", "dir")}
        for place in self.places.values():
            place.state.mkdir()
            place.run.mkdir()
        self.store = Store(folder / "metadata.db")
        self.events = Ring(SystemClock())
        self.local = Local(folder / "local/volumes", folder / "local/aside", folder / "local-run/users")
        self.drivers = {"local": self.local, "other": Directory(None, self.places["dir"], shared=True)}

    def open(self):
        part = make(
            Config(), drivers=self.drivers, metadata=self.store, events=self.events, clock=SystemClock(),
            place=self.places["own"],
        )  # fmt: skip
        return part.__enter__()


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    with found.store:
        yield found


class TestRegistry(VolumesSuite):
    @pytest.fixture
    def given(self, world):
        return Given(world.open, world.events)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_volumes_mutant_is_caught(mutant, world):
    given = Given(lambda: mutant.wrap(world.open()), world.events)
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(VolumesSuite(), mutant.test)(given, *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_drivers(world):
    volumes = world.open()
    assert volumes.drivers() == ("local", "other")
    made = volumes.create("data", "other", {"mode": "700"})
    assert (made.driver, made.scope, made.mountpoint) == ("other", "global", world.places["dir"].state / "volumes/data")
    assert volumes.create("data").driver == "other"
    assert volumes.create("data", "other", {"mode": "711"}) == made
    with pytest.raises(Conflict, match="create data: driver 'other' already has volume 'data'"):
        volumes.create("data", "local")


def test_a_driver_that_is_gone(world):
    world.open().create("data", "other")
    del world.drivers["other"]
    volumes = world.open()
    found = volumes.get("data")
    assert (found.driver, found.mountpoint, found.scope, volumes.size_bytes("data")) == ("other", None, "local", -1)
    for call in (lambda: volumes.mount("data", "c1"), lambda: volumes.remove("data")):
        with pytest.raises(NotFound, match='plugin "other" not found'):
            call()
    volumes.unmount("data", "c1")
    assert volumes.get("data") == found
    volumes.remove("data", force=True)
    assert volumes.list() == ()


def test_an_error_of_a_driver_says_what_was_being_done(world, monkeypatch):
    def refuse(self, name, options):
        raise HostUnfit("the disk is full", hint="make room")

    monkeypatch.setattr(Local, "create", refuse)
    with pytest.raises(HostUnfit) as caught:
        world.open().create("data")
    assert str(caught.value) == "create data: the disk is full\n  fix: make room"


_KILLED = """
import os, signal, sys
from pathlib import Path
from moby_events.ring.ring import Ring
from moby_metadata.sqlite.store import Store
from moby_volume.local.driver import Local
from moby_volumes.registry.registry import Registry
from moby.surroundings import SystemClock
folder, at = Path(sys.argv[1]), sys.argv[2]
local = Local(folder / "local/volumes", folder / "local/aside", folder / "local-run/users")
clock, store = SystemClock(), Store(folder / "metadata.db")
volumes = Registry({"local": local}, store, Ring(clock), clock, folder / "own-run")
def die(real, *, before):
    def call(*given):
        if not before: real(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    return call
method, when = at.split("-")
if method == "remove":
    volumes.create("data")
setattr(Local, method, die(getattr(Local, method), before=when == "before"))
getattr(volumes, method)("data")
"""


@pytest.mark.parametrize("at", ["create-before", "create-after", "remove-before", "remove-after"])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_kill_leaves_a_name_free(world, tmp_path, at, restarted):
    """Also to a process that was running already: with other options, and empty."""
    running = world.open()
    done = subprocess.run([sys.executable, "-c", _KILLED, tmp_path, at], check=False)
    assert done.returncode == -signal.SIGKILL
    volumes = world.open() if restarted else running
    assert volumes.list() == ()
    with pytest.raises(NotFound):
        volumes.hold("data", "c1")
    assert not restarted or not (tmp_path / "local/volumes/data").exists()
    volumes.create("data", options={"type": "tmpfs", "device": "tmpfs"})


def test_what_can_t_be_undone_is_tried_again(world, monkeypatch):
    volumes = world.open()
    volumes.create("data")
    record = volumes._records.get("data")
    volumes._records.put("data", type(record)(**{**record.document(), "stage": "removing"}))

    def refuse(self, name):
        raise Conflict("it is mounted")

    with monkeypatch.context() as patch:
        patch.setattr(Local, "remove", refuse)
        volumes = world.open()
        with pytest.raises(Conflict, match="it is mounted"):
            volumes.create("data")
    world.open()
    assert world.store.bucket("volumes").keys() == ()


def test_a_name_that_is_being_made_is_left_to_its_maker(world):
    volumes = world.open()
    volumes.create("data")
    record = volumes._records.get("data")
    volumes._records.put("data", type(record)(**{**record.document(), "stage": "making"}))
    held = [os.open(each, os.O_RDONLY) for each in world.places["own"].run.glob("lock-*")]
    for fd in held:
        fcntl.flock(fd, fcntl.LOCK_EX)
    world.open()
    assert (world.local.path("data").exists(), volumes.list()) == (True, ())
    for fd in held:
        os.close(fd)
    world.open()
    assert not world.local.path("data").exists()


def test_a_name_of_one_is_no_beginning_of_another(world):
    volumes = world.open()
    for name in ("data", "data-2"):
        volumes.create(name)
        volumes.hold(name, "c1")
    volumes.release("data", "c1")
    volumes.remove("data")
    assert volumes.get("data-2").users == ("c1",)
