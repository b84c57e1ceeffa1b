"""The conformance suite of the kind `volumes`; `moby.testing.volume_mutants` holds what it must fail."""

import re
import threading
import time
from collections.abc import Callable

import pytest
from attrs import frozen

from moby.contracts.events import Events
from moby.contracts.volumes import Volumes
from moby.errors import Conflict, Invalid, NotFound

__all__ = ["Given", "VolumesSuite"]


@frozen
class Given:
    """A part under test, on the same store at each call, and what it tells its events to."""

    open: Callable[[], Volumes]
    events: Events | None = None
    """None where the part was wired with events of its own."""


class VolumesSuite:
    """What every part that knows volumes must do. A subclass brings the fixture `given`."""

    @pytest.fixture
    def given(self) -> Given:
        """Return the part under test."""
        raise NotImplementedError

    def test_a_volume_is_there_once_it_is_made(self, given: Given) -> None:
        """As described, for every process, and in the list, by name."""
        volumes = given.open()
        made = volumes.create("data", labels={"a": "b"})
        assert (made.name, made.driver, made.labels, made.options) == ("data", volumes.drivers()[0], {"a": "b"}, {})
        assert (made.anonymous, made.users, made.scope) == (False, (), "local")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", made.created)
        volumes.create("another")
        other = given.open()
        assert (other.get("data"), [each.name for each in other.list()]) == (made, ["another", "data"])
        assert volumes.list()[1] == made

    def test_making_one_that_is_there(self, given: Given) -> None:
        """Returns it as it is, its options and labels too; a driver that isn't there is NotFound all the same."""
        volumes = given.open()
        made = volumes.create("data", labels={"a": "b"})
        assert volumes.create("data", made.driver, {}, {"c": "d"}) == made
        assert given.open().create("data") == made
        assert volumes.create("data", options={"nonesuch": "1"}) == made
        with pytest.raises(NotFound, match=r"create data: .*nonesuch"):
            volumes.create("data", "nonesuch")
        assert volumes.list() == (made,)

    def test_anonymous_ones(self, given: Given) -> None:
        """Have 64 hexadecimal digits, each others, and docker's label."""
        volumes = given.open()
        one, two = volumes.create(), volumes.create(labels={"a": "b"})
        assert one.name != two.name
        assert re.fullmatch("[0-9a-f]{64}", one.name)
        assert (one.anonymous, given.open().get(two.name).anonymous) == (True, True)
        assert two.labels == {"a": "b", "com.docker.volume.anonymous": ""}

    @pytest.mark.parametrize("name", ["a", ".", "..", "a/b", "-x", ".hidden", "a b", "ü1", "a\0b", "x" * 300])
    def test_names_that_are_none(self, given: Given, name: str) -> None:
        """Invalid to make, and NotFound to look for."""
        volumes = given.open()
        with pytest.raises(Invalid, match="name"):
            volumes.create(name)
        with pytest.raises(NotFound):
            volumes.get(name)
        with pytest.raises(NotFound):
            volumes.remove(name)
        assert volumes.list() == ()

    def test_what_a_driver_refuses(self, given: Given) -> None:
        """Leaves nothing behind: the name is free. A driver that isn't there is NotFound."""
        volumes = given.open()
        with pytest.raises(Invalid, match="nonesuch"):
            volumes.create("data", options={"nonesuch": "1"})
        with pytest.raises(NotFound, match='plugin "nonesuch" not found'):
            volumes.create("data", "nonesuch")
        assert volumes.list() == ()
        volumes.create("data")

    def test_one_that_isnt_there(self, given: Given) -> None:
        """NotFound, but for what undoes something, and a removal by force."""
        volumes = given.open()
        calls: tuple[Callable[[], object], ...] = (
            lambda: volumes.get("data"),
            lambda: volumes.remove("data"),
            lambda: volumes.hold("data", "c1"),
            lambda: volumes.mount("data", "c1"),
            lambda: volumes.size_bytes("data"),
        )
        for call in calls:
            with pytest.raises(NotFound, match="data: no such volume"):
                call()
        volumes.remove("data", force=True)
        volumes.unmount("data", "c1")
        volumes.release("data", "c1")

    def test_who_has_it(self, given: Given) -> None:
        """Is noted once, shown sorted, and is as many as hold it, whichever process asks."""
        volumes = given.open()
        volumes.create("data")
        volumes.create("dat")
        for each in ("c2", "c1", "c2"):
            volumes.hold("data", each)
        assert (given.open().get("data").users, volumes.get("dat").users) == (("c1", "c2"), ())
        assert [each.users for each in volumes.list()] == [(), ("c1", "c2")]
        volumes.release("data", "c2")
        assert volumes.create("data").users == ("c1",)

    def test_who_has_it_from_the_first(self, given: Given) -> None:
        """A holder is noted with what is made, and with what is there already."""
        volumes = given.open()
        volumes.create("data")
        for name, holder, users in (("", "c1", ("c1",)), ("data", "c2", ("c2",)), ("data", "c1", ("c1", "c2"))):
            made = volumes.create(name, holder=holder)
            assert (made.users, given.open().get(made.name).users) == (users, users)

    def test_one_in_use_isnt_removed(self, given: Given) -> None:
        """Conflict, by force too, and it is as it was."""
        volumes = given.open()
        made = volumes.create("data")
        volumes.hold("data", "c1")
        for force in (False, True):
            with pytest.raises(Conflict, match=re.escape("remove data: volume is in use - [c1]")):
                given.open().remove("data", force=force)
        assert (volumes.get("data").name, volumes.get("data").created) == (made.name, made.created)
        volumes.release("data", "c1")
        volumes.remove("data")

    def test_removing(self, given: Given) -> None:
        """Takes it away for all, with what is in it and with who had it."""
        volumes = given.open()
        volumes.create("data")
        (volumes.mount("data", "c1") / "file").touch()
        volumes.unmount("data", "c1")
        volumes.remove("data")
        assert given.open().list() == ()
        with pytest.raises(NotFound):
            volumes.get("data")
        assert volumes.create("data").users == ()
        assert list(volumes.mount("data", "c1").iterdir()) == []

    def test_mounted_ones_stay(self, given: Given) -> None:
        """What its driver refuses leaves it as it was."""
        volumes = given.open()
        made = volumes.create("data")
        folder = volumes.mount("data", "c1")
        with pytest.raises(Conflict, match="remove data: "):
            volumes.remove("data")
        assert (volumes.get("data"), volumes.mount("data", "c2")) == (made, folder)
        for each in ("c1", "c2"):
            volumes.unmount("data", each)
        volumes.remove("data")

    def test_its_folder_and_size(self, given: Given) -> None:
        """Are its driver's."""
        volumes = given.open()
        made = volumes.create("data")
        folder = volumes.mount("data", "c1")
        (folder / "file").write_bytes(b"x" * 100)
        assert made.mountpoint in (None, folder)
        assert volumes.size_bytes("data") in (-1, 100)

    def test_events(self, given: Given) -> None:
        """Tell of making and removing, once each, and of nothing else."""
        if given.events is None:
            pytest.skip("this part's events are its own")
        volumes = given.open()
        reader = given.events.subscribe()
        try:
            for _ in range(2):
                driver = volumes.create("data").driver
            volumes.remove("data")
            volumes.remove("data", force=True)
            with pytest.raises(Invalid):
                volumes.create("data", options={"nonesuch": "1"})
            found = [(each.type, each.action, each.id, each.attributes) for each in reader.take()]
        finally:
            reader.close()
        assert found == [("volume", action, "data", {"driver": driver}) for action in ("create", "destroy")]

    def test_many_make_one(self, given: Given) -> None:
        """All get the same one."""
        volumes = [given.open() for _ in range(4)]
        found: list[object] = []
        _at_once([lambda part=part: found.append(part.create("data")) for part in volumes])  # type: ignore[misc]
        assert [each == found[0] for each in found] == [True] * 4

    def test_holding_and_removing_at_once(self, given: Given) -> None:
        """One of them wins: who holds a volume has it, and who removed it left nobody with it."""
        for turn in range(10):
            volumes, other = given.open(), given.open()
            volumes.create("data")
            outcomes: list[str] = []

            def note(call: Callable[[], object], outcomes: list[str] = outcomes) -> None:
                try:
                    call()
                    outcomes.append("done")
                except (Conflict, NotFound) as error:
                    outcomes.append(type(error).__name__)

            calls: list[Callable[[], object]] = [
                lambda one=volumes, note=note: note(lambda: one.hold("data", "c1")),  # type: ignore[misc]
                lambda one=other, note=note: note(lambda: one.remove("data")),  # type: ignore[misc]
            ]
            _at_once(calls[:: 1 if turn % 2 else -1], apart_s=turn % 4 * 0.002)
            assert sorted(outcomes) in (["Conflict", "done"], ["NotFound", "done"])
            held = [each.users for each in volumes.list()]
            assert held == ([("c1",)] if "Conflict" in outcomes else [])
            volumes.release("data", "c1")
            volumes.remove("data", force=True)


def _at_once(calls: list[Callable[[], object]], *, apart_s: float = 0) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for each in threads:
        each.start()
        time.sleep(apart_s)
    for each in threads:
        each.join()
