import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from moby_volume.folders import places
from moby_volume.local import mounting
from moby_volume.local import options as words
from moby_volume.local.driver import Local
from moby_volume.local.plugin import Config, make

from moby.contracts.ambient import Place
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, Unavailable
from moby.host import mounts, namespaces
from moby.testing.copied import in_copy
from moby.testing.volume_driver import VolumeDriverSuite
from moby.testing.volume_mutants import DRIVER_MUTANTS


@pytest.fixture
def place(tmp_path):
    found = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    for each in (found.state, found.run, found.cache):
        each.mkdir()
    return found


@pytest.fixture
def driver(place):
    return lambda: make(Config(), place=place).__enter__()


class TestLocal(VolumeDriverSuite):
    @pytest.fixture
    def driver(self, place):
        return lambda: make(Config(), place=place).__enter__()


@pytest.mark.parametrize("mutant", DRIVER_MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_driver_mutant_is_caught(mutant, driver):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(VolumeDriverSuite(), mutant.test)(lambda: mutant.wrap(driver()), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_docker_s_layout(driver, place):
    with driver() as part:
        part.create("data", {})
    folder = place.state / "volumes/data"
    assert sorted(each.name for each in folder.iterdir()) == ["_data", "opts.json"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / "_data")] == [0o701, 0o755]
    assert json.loads((folder / "opts.json").read_text()) == {"format": 1, "options": {}}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": "red"}, 'invalid option: "colour"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "tmpfs"}, 'missing required option: "type"'),
        ({"o": "size=1m"}, 'missing required option: "device"'),
        ({"size": "1m"}, "quota size requested but no quota support"),
        ({"type": "cifs", "device": "//server:445/share", "o": "user=me"}, "port not allowed in CIFS device URL"),
    ],
    ids=lambda value: value.get("type", "plain") if isinstance(value, dict) else None,
)
def test_options_that_wont_do(driver, options, text):
    with pytest.raises(Invalid, match=text):
        driver().create("data", options)
    assert driver().size_bytes("data") == -1


def test_other_options_are_a_conflict(driver):
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    driver().create("data", options)
    driver().create("data", dict(options))
    with pytest.raises(Conflict, match="other options"):
        driver().create("data", {})
    assert driver().size_bytes("data") == -1


def test_words_of_mount():
    found = words.words("ro,noexec,exec,nosuid,size=1m,mode=700,rslave,defaults,remount,relatime")
    assert found.flags == sum(mounts.FLAGS[each] for each in ("ro", "nosuid", "relatime"))
    assert (found.propagation, found.data) == (("rslave",), "size=1m,mode=700,remount")
    assert words.words("rbind,ro,rw").flags == mounts.FLAGS["bind"] | mounts.FLAGS["rec"]


# With mounts


def alone(work):
    """Run something in a mount namespace of its own."""
    if os.geteuid():
        pytest.skip("only root may mount")

    def enter():
        namespaces.unshare(namespaces.FLAGS["mount"])
        mounts.set_propagation("/", "rprivate")
        work()

    in_copy(enter, "in a mount namespace of its own")


def test_a_tmpfs_is_mounted_while_it_has_users(driver, place):
    def work():
        part = driver()
        part.create("data", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=750,noexec"})
        folder = part.mount("data", "c1")
        (folder / "file").touch()
        assert driver().mount("data", "c2") == folder
        assert (folder / "file").exists()
        found = os.statvfs(folder)
        assert (found.f_blocks * found.f_frsize, found.f_flag & os.ST_NOEXEC != 0) == (1 << 20, True)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        part.unmount("data", "c1")
        assert places.is_mounted(folder)
        with pytest.raises(Conflict, match="c2"):
            part.remove("data")
        driver().unmount("data", "c2")
        assert (places.is_mounted(folder), list(folder.iterdir())) == (False, [])
        part.remove("data")
        assert not folder.exists()

    alone(work)


def test_a_bind_shows_a_folder_and_leaves_it(driver, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("mine")

    def work():
        part = driver()
        part.create("data", {"type": "none", "device": str(source), "o": "bind,ro,rshared"})
        folder = part.mount("data", "c1")
        assert (folder / "file").read_text() == "mine"
        with pytest.raises(OSError, match="Read-only"):
            (folder / "more").touch()
        lines = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder} " in line]
        assert [" shared:" in line for line in lines] == [True]
        part.unmount("data", "c1")
        part.remove("data")

    alone(work)
    assert (source / "file").read_text() == "mine"


def test_what_can_t_be_mounted(driver, tmp_path):
    def work():
        part = driver()
        part.create("gone", {"type": "none", "device": str(tmp_path / "gone"), "o": "bind"})
        with pytest.raises(HostUnfit, match=r"failed to mount local volume: mount .*gone.*: no such file") as caught:
            part.mount("gone", "c1")
        assert "flags: 0x1000" in caught.value.message
        part.remove("gone")
        part.create("odd", {"type": "nonesuch", "device": "x", "o": "password=secret,a=b"})
        with pytest.raises(HostUnfit, match=r"data: password=\*+,a=b: no such device") as caught:
            part.mount("odd", "c1")
        assert "secret" not in str(caught.value)
        part.create("bad", {"type": "tmpfs", "device": "tmpfs", "o": "size=many"})
        with pytest.raises(HostUnfit, match="invalid argument"):
            part.mount("bad", "c1")
        part.create("half", {"type": "none", "device": str(tmp_path), "o": "bind,ro,lazytime,sync,mand"})

    alone(work)


def test_a_bind_that_can_t_be_made_read_only_is_undone(place, monkeypatch):
    target = place.state

    def work():
        real = mounts.mount

        def mount(source, *more):
            if not source:
                raise PermissionError(1, "no")
            real(source, *more)

        monkeypatch.setattr(mounting.mounts, "mount", mount)
        with pytest.raises(HostUnfit, match="operation not permitted"):
            mounting.mount({"type": "none", "device": "/proc", "o": "bind,ro"}, target)
        assert not places.is_mounted(target)

    alone(work)


def test_a_server_by_name(monkeypatch):
    asked = {}

    def look_up(host, port, **more):
        asked[host] = more
        if host == "gone.example":
            raise OSError(-2, "Name or service not known")
        return [(10, 1, 6, "", ("2001:db8::7", 0, 0, 0)), (2, 1, 6, "", ("192.0.2.7", 0))]

    mounted = []
    monkeypatch.setattr(mounting.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(mounting.mounts, "mount", lambda *given: mounted.append(given))
    share = {"type": "nfs", "device": ":/share", "o": "addr=server.example,rw,nfsvers=4"}
    mounting.mount(share, "/target")
    mounting.mount({**share, "o": "nfsvers=4,addr=192.0.2.9"}, "/target")
    assert mounted == [
        (":/share", "/target", "nfs", 0, "addr=192.0.2.7,nfsvers=4"),
        (":/share", "/target", "nfs", 0, "nfsvers=4,addr=192.0.2.9"),
    ]
    assert list(asked) == ["server.example"]
    with pytest.raises(Unavailable, match=r"error resolving passed in network volume address: gone[.]example"):
        mounting.mount({**share, "o": "addr=gone.example"}, "/target")

    def refuse(*given):
        raise TimeoutError(110, "timed out")

    monkeypatch.setattr(mounting.mounts, "mount", refuse)
    with pytest.raises(Unavailable, match="connection timed out"):
        mounting.mount({**share, "o": ""}, "/target")


def test_a_mount_inside_keeps_a_volume(driver):
    def work():
        part = driver()
        part.create("data", {})
        folder = part.path("data")
        (folder / "in side").mkdir()
        mounts.mount("tmpfs", str(folder / "in side"), "tmpfs")
        with pytest.raises(Conflict, match="in side is mounted in it"):
            part.remove("data")
        mounts.unmount(str(folder / "in side"))
        part.remove("data")

    alone(work)


def test_reclaim_unmounts_all(driver):
    def work():
        part = driver()
        options = {"type": "tmpfs", "device": "tmpfs"}
        for name in ("one", "two"):
            part.create(name, options)
            part.mount(name, "c1")
        part.create("plain", {})
        part.mount("plain", "c1")
        driver().reclaim()
        assert not any(places.is_mounted(part.path(name)) for name in ("one", "two"))
        for name in ("one", "two", "plain"):
            part.remove(name)
        part.reclaim()

    alone(work)


# What kills leave


def test_users_of_an_earlier_boot_are_nobody(driver, place):
    driver().create("data", {})
    driver().mount("data", "c1")
    file = place.run / "users/data"
    file.write_text(file.read_text().replace('"boot": "', '"boot": "another'))
    driver().remove("data")
    driver().create("data", {})
    driver().mount("data", "c1")
    file.write_text("{")
    driver().remove("data")


_KILLED = """
import os, signal, sys
from pathlib import Path
from moby_volume.local.driver import Local
from moby_volume.folders import places
state, run, at = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
part = Local(state / "volumes", state / "aside", run / "users").__enter__()
def kill(*given, **named): os.kill(os.getpid(), signal.SIGKILL)
if at == "making":
    Path.rename = kill
    part.create("data", {})
part.create("data", {})
(part.mount("data", "c1") / "file").touch()
part.unmount("data", "c1")
if at == "removing":
    places._remove = kill
    part.remove("data")
"""


@pytest.mark.parametrize("at", ["making", "removing"])
def test_a_kill_leaves_no_half(driver, place, at):
    done = subprocess.run([sys.executable, "-c", _KILLED, place.state, place.run, at], check=False)
    assert done.returncode == -signal.SIGKILL
    left = [each for each in (place.state / "aside").glob("*/*") if each.is_dir()]
    assert len(left) == 1
    part = driver()
    assert not left[0].exists()
    part.create("data", {})
    assert list(part.mount("data", "c1").iterdir()) == []


def test_what_another_process_is_removing_is_left_to_it(driver, place):
    aside = place.state / "aside/gone"
    held = places.claims.claim(aside, "held")
    driver()
    assert held.path.exists()
    held.release()


# What is wrong with it


def test_damaged_options(driver, place):
    driver().create("data", {})
    (place.state / "volumes/data/opts.json").write_text("[")
    for call in (lambda: driver().create("data", {}), lambda: driver().mount("data", "c1")):
        with pytest.raises(Corrupt, match="damaged"):
            call()
    (place.state / "volumes/data/opts.json").unlink()
    with pytest.raises(Corrupt, match="damaged"):
        driver().create("data", {})
    driver().remove("data")


def test_a_folder_that_is_gone(driver):
    driver().create("data", {})
    driver().path("data").rmdir()
    with pytest.raises(HostUnfit, match="is gone"):
        driver().mount("data", "c1")
    driver().remove("data")


def test_a_folder_that_may_not_be_written(unprivileged):
    def work(folder):
        (folder / "state").mkdir(mode=0o500)
        part = Local(folder / "state/volumes", folder / "state/aside", folder / "run")
        with pytest.raises(HostUnfit, match=r"can't make the volume data at .*: Permission denied"):
            part.create("data", {})

    unprivileged(work)


def test_size_stays_inside(tmp_path):
    (tmp_path / "v/deep").mkdir(parents=True)
    (tmp_path / "big").write_bytes(b"x" * 5000)
    (tmp_path / "v/link").symlink_to(tmp_path)
    (tmp_path / "v/deep/file").write_bytes(b"x" * 10)
    assert places.size_bytes(tmp_path / "v") == 10 + len(str(tmp_path))
