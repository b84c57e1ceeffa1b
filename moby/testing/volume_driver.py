"""The conformance suite of the kind `volume-driver`; `moby.testing.volume_mutants` holds what it must fail."""

import threading
from collections.abc import Callable

import pytest

from moby.contracts.volume_driver import VolumeDriver
from moby.errors import Conflict, Invalid, NotFound

__all__ = ["VolumeDriverSuite"]

Open = Callable[[], VolumeDriver]


class VolumeDriverSuite:
    """What every volume driver must do. A subclass brings the fixture `driver`."""

    @pytest.fixture
    def driver(self) -> Open:
        """Return a function that makes the driver under test, started; each call gives another one on its folders."""
        raise NotImplementedError

    def test_what_is_written_stays(self, driver: Open) -> None:
        """Over unmounting, and for another process of the engine."""
        one = driver()
        one.create("data", {})
        folder = one.mount("data", "c1")
        (folder / "file").write_text("kept")
        one.unmount("data", "c1")
        other = driver()
        assert (other.mount("data", "c2") / "file").read_text() == "kept"
        other.unmount("data", "c2")

    def test_a_new_volume_is_an_empty_folder(self, driver: Open) -> None:
        """Which others than its owner may enter, as docker's."""
        part = driver()
        part.create("data", {})
        folder = part.mount("data", "c1")
        assert (list(folder.iterdir()), folder.stat().st_mode & 0o7777) == ([], 0o755)
        part.unmount("data", "c1")

    def test_volumes_are_apart(self, driver: Open) -> None:
        """Each has a folder of its own."""
        part = driver()
        for name in ("one", "two"):
            part.create(name, {})
            (part.mount(name, "c1") / name).touch()
        found = [[each.name for each in part.mount(name, "c2").iterdir()] for name in ("one", "two")]
        assert found == [["one"], ["two"]]

    def test_creating_again(self, driver: Open) -> None:
        """Changes nothing."""
        part = driver()
        part.create("data", {})
        (part.mount("data", "c1") / "file").touch()
        part.create("data", {})
        driver().create("data", {})
        assert (part.mount("data", "c1") / "file").exists()

    def test_mounting_again(self, driver: Open) -> None:
        """Gives the same folder, also to another user; one `unmount` ends what a user mounted twice."""
        part = driver()
        part.create("data", {})
        folder = part.mount("data", "c1")
        assert (part.mount("data", "c1"), part.mount("data", "c2")) == (folder, folder)
        part.unmount("data", "c1")
        with pytest.raises(Conflict):
            part.remove("data")
        part.unmount("data", "c2")
        part.remove("data")

    def test_it_is_in_use_until_the_last_user_goes(self, driver: Open) -> None:
        """Conflict, also for another process of the engine; nothing of it is touched."""
        part = driver()
        part.create("data", {})
        (part.mount("data", "c1") / "file").touch()
        with pytest.raises(Conflict, match="c1"):
            driver().remove("data")
        assert (part.mount("data", "c1") / "file").exists()
        driver().unmount("data", "c1")
        part.remove("data")

    def test_unmounting_what_isnt_mounted(self, driver: Open) -> None:
        """Does nothing, where there is no such volume either."""
        part = driver()
        part.create("data", {})
        part.unmount("data", "c1")
        part.unmount("nonesuch", "c1")
        part.mount("data", "c1")
        part.unmount("data", "c2")
        with pytest.raises(Conflict):
            part.remove("data")

    def test_removing(self, driver: Open) -> None:
        """Deletes all that is in it; again is fine, and a new one of that name is empty."""
        part = driver()
        part.create("data", {})
        folder = part.mount("data", "c1")
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "link").symlink_to("/")
        part.unmount("data", "c1")
        part.remove("data")
        part.remove("data")
        driver().remove("data")
        with pytest.raises(NotFound, match="data"):
            part.mount("data", "c1")
        part.create("data", {})
        assert list(part.mount("data", "c1").iterdir()) == []

    def test_its_path(self, driver: Open) -> None:
        """Is where it is mounted, if that can be said."""
        part = driver()
        part.create("data", {})
        found = part.path("data")
        assert found in (None, part.mount("data", "c1"))

    def test_its_size(self, driver: Open) -> None:
        """In bytes, of files once however many names they have; unknown is -1."""
        part = driver()
        part.create("data", {})
        folder = part.mount("data", "c1")
        (folder / "sub").mkdir()
        (folder / "file").write_bytes(b"x" * 1000)
        (folder / "sub" / "name").hardlink_to(folder / "file")
        (folder / "sub" / "more").write_bytes(b"x" * 234)
        assert part.size_bytes("data") in (-1, 1234)
        assert part.size_bytes("nonesuch") == -1

    @pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/etc", ".hidden", "a\0b", "x" * 300])
    def test_names_that_lead_elsewhere(self, driver: Open, name: str) -> None:
        """Invalid, for every call."""
        part = driver()
        calls: tuple[Callable[[], object], ...] = (
            lambda: part.create(name, {}),
            lambda: part.mount(name, "c1"),
            lambda: part.unmount(name, "c1"),
            lambda: part.path(name),
            lambda: part.remove(name),
            lambda: part.size_bytes(name),
        )
        for call in calls:
            with pytest.raises(Invalid):
                call()

    def test_a_name_as_long_as_a_file_s(self, driver: Open) -> None:
        """Is a volume's like any other, or Invalid."""
        part, name = driver(), "x" * 255
        try:
            part.create(name, {})
        except Invalid:
            return
        part.mount(name, "c1")
        part.unmount(name, "c1")
        part.remove(name)

    def test_an_option_that_isnt_known(self, driver: Open) -> None:
        """Invalid names it, and no volume is there."""
        part = driver()
        with pytest.raises(Invalid, match="nonesuch"):
            part.create("data", {"nonesuch": "1"})
        with pytest.raises(NotFound):
            part.mount("data", "c1")

    def test_its_scope(self, driver: Open) -> None:
        """Is one of docker's two."""
        assert driver().scope in ("local", "global")

    def test_many_at_once(self, driver: Open) -> None:
        """Make, mount, unmount and remove volumes, one of them all the same."""
        part, failures = driver(), []

        def work(number: int) -> None:
            try:
                for name in ("same", f"own{number}"):
                    part.create(name, {})
                    part.mount(name, f"c{number}")
                    part.unmount(name, f"c{number}")
                part.remove(f"own{number}")
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        part.remove("same")
