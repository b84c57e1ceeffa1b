import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from moby_volume.directory.plugin import Config, make

from moby.contracts.ambient import Place
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound
from moby.testing.volume_driver import VolumeDriverSuite
from moby.testing.volume_mutants import DRIVER_MUTANTS


@pytest.fixture
def place(tmp_path):
    found = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    for each in (found.state, found.run, found.cache, tmp_path / "mine"):
        each.mkdir()
    return found


@pytest.fixture
def folder(tmp_path, place):
    return tmp_path / "mine"


@pytest.fixture
def driver(folder, place):
    return lambda **options: make(Config(folder=folder, **options), place=place).__enter__()


class TestDirectory(VolumeDriverSuite):
    @pytest.fixture
    def driver(self, folder, place):
        return lambda: make(Config(folder=folder), place=place).__enter__()


class TestDirectoryInState(VolumeDriverSuite):
    @pytest.fixture
    def driver(self, place):
        return lambda: make(Config(), place=place).__enter__()


@pytest.mark.parametrize("mutant", DRIVER_MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_directory_mutant_is_caught(mutant, driver):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(VolumeDriverSuite(), mutant.test)(lambda: mutant.wrap(driver()), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_a_folder_that_is_there_is_taken_over_and_left(driver, folder):
    (folder / "data").mkdir()
    (folder / "data/file").write_text("mine")
    part = driver()
    part.create("data", {})
    assert (part.mount("data", "c1") / "file").read_text() == "mine"
    part.unmount("data", "c1")
    part.remove("data")
    assert (folder / "data/file").read_text() == "mine"
    with pytest.raises(NotFound):
        part.mount("data", "c1")


def test_owner_and_mode(driver):
    if os.geteuid():
        pytest.skip("only root gives files away")
    part = driver()
    part.create("data", {"uid": "12", "gid": "34", "mode": "2770"})
    found = part.mount("data", "c1").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o2770)


@pytest.mark.parametrize("options", [{"uid": "me"}, {"mode": "rwx"}, {"gid": "-1"}, {"mode": "99999"}])
def test_values_that_wont_do(driver, options):
    with pytest.raises(Invalid, match="invalid option: "):
        driver().create("data", options)


def test_a_number_that_no_user_has(driver, folder):
    with pytest.raises(Invalid, match="greatest"):
        driver().create("data", {"uid": "4294967295"})
    assert not (folder / "data").exists()


def test_other_options_than_before(driver):
    driver().create("data", {"mode": "700"})
    with pytest.raises(Conflict, match="other options"):
        driver().create("data", {})


def test_what_is_no_folder(driver, folder):
    (folder / "file").touch()
    (folder / "link").symlink_to("/")
    for name in ("file", "link"):
        with pytest.raises(Conflict, match="no folder"):
            driver().create(name, {})
    driver().create("data", {})
    (folder / "data").rmdir()
    (folder / "data").symlink_to("/")
    with pytest.raises(HostUnfit, match="is gone"):
        driver().mount("data", "c1")
    driver().remove("data")
    assert (folder / "data").is_symlink()


def test_shared_ones(driver):
    part = driver(shared=True)
    part.create("data", {})
    assert (part.scope, part.size_bytes("data")) == ("global", -1)


@pytest.mark.parametrize("folder", [Path("/nonesuch/volumes"), Path("volumes")])
def test_a_folder_of_volumes_that_isn_t_there(place, folder):
    with pytest.raises(HostUnfit, match="is not there"), make(Config(folder=folder), place=place):
        pass


def test_reclaim_forgets_users(driver):
    driver().create("data", {})
    driver().mount("data", "c1")
    driver().reclaim()
    driver().remove("data")


def test_a_damaged_record(driver, place):
    driver().create("data", {})
    (place.state / "records/data.json").write_text("[]")
    with pytest.raises(Corrupt, match="damaged"):
        driver().mount("data", "c1")


_KILLED = """
import os, signal, sys
from pathlib import Path
from moby.contracts.ambient import Place
from moby_volume.directory.driver import Directory
from moby_volume.folders import places
place = Place(*map(Path, sys.argv[2:5]))
part = Directory(Path(sys.argv[1]), place, shared=False).__enter__()
part.create("data", {})
places._remove = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
part.remove("data")
"""


def test_a_kill_in_the_middle_of_a_removal(driver, folder, place):
    arguments = [folder, place.state, place.run, place.cache]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    part = driver()
    assert [each for each in folder.rglob("*") if each.name != ".gate"] == [folder / ".moby-removed"]
    part.remove("data")
    part.create("data", {})
    assert list(part.mount("data", "c1").iterdir()) == []
