"""Mutants of volume drivers and of what knows volumes: each breaks one promise, and names the test that must see it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.volumes import Volume
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["DRIVER_MUTANTS", "MUTANTS"]

_Broken = Broken[Any]


class _Empties(_Broken):
    def unmount(self, name: str, user: str) -> None:
        self.inner.unmount(name, user)
        for each in self.inner.path(name).glob("*"):
            each.unlink()


class _Private(_Broken):
    def create(self, name: str, options: Mapping[str, str]) -> None:
        self.inner.create(name, options)
        self.inner.path(name).chmod(0o700)


class _OneFolder(_Broken):
    def mount(self, name: str, user: str) -> Path:
        self.inner.mount(name, user)
        self.inner.create("all", {})
        found: Path = self.inner.mount("all", user)
        return found


class _MakesAnew(_Broken):
    def create(self, name: str, options: Mapping[str, str]) -> None:
        self.inner.create(name, options)
        shutil.rmtree(self.inner.path(name))
        self.inner.path(name).mkdir()


class _Counts(_Broken):
    """Counts calls, and not users."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.calls = 0

    def mount(self, name: str, user: str) -> Path:
        self.calls += 1
        found: Path = self.inner.mount(name, "all")
        return found

    def unmount(self, name: str, user: str) -> None:
        self.calls -= 1
        if not self.calls:
            self.inner.unmount(name, "all")


class _RemovesInUse(_Broken):
    def remove(self, name: str) -> None:
        for user in ("c1", "c2"):
            self.inner.unmount(name, user)
        self.inner.remove(name)


class _UnmountsForAll(_Broken):
    def unmount(self, name: str, user: str) -> None:
        for each in ("c1", "c2"):
            self.inner.unmount(name, each)


class _RemovesOnce(_Broken):
    def remove(self, name: str) -> None:
        if not self.inner.path(name).exists():
            raise NotFound(name)
        self.inner.remove(name)


class _MountsAnything(_Broken):
    def mount(self, name: str, user: str) -> Path:
        self.inner.create(name, {})
        found: Path = self.inner.mount(name, user)
        return found


class _ElsewherePath(_Broken):
    def path(self, name: str) -> Path | None:
        return Path("/nonesuch", name)


class _CountsNames(_Broken):
    def size_bytes(self, name: str) -> int:
        path = self.inner.path(name)
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if path.exists() else -1


class _TakesAnyName(_Broken):
    def remove(self, name: str) -> None:
        try:
            self.inner.remove(name)
        except Invalid:
            return


class _FailsAtLength(_Broken):
    def create(self, name: str, options: Mapping[str, str]) -> None:
        if len(name) > 250:
            raise HostUnfit("File name too long")
        self.inner.create(name, options)


class _TakesAnyOption(_Broken):
    def create(self, name: str, options: Mapping[str, str]) -> None:
        self.inner.create(name, {key: value for key, value in options.items() if key != "nonesuch"})


class _Planet(_Broken):
    scope = "planet"


class _OneAtATime(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: set[str] = set()

    def create(self, name: str, options: Mapping[str, str]) -> None:
        if name in self.seen:
            raise Conflict(name)
        self.seen.add(name)
        self.inner.create(name, options)


DRIVER_MUTANTS = (
    Mutant(_Empties, "test_what_is_written_stays"),
    Mutant(_Private, "test_a_new_volume_is_an_empty_folder"),
    Mutant(_OneFolder, "test_volumes_are_apart"),
    Mutant(_MakesAnew, "test_creating_again"),
    Mutant(_Counts, "test_mounting_again"),
    Mutant(_RemovesInUse, "test_it_is_in_use_until_the_last_user_goes"),
    Mutant(_UnmountsForAll, "test_unmounting_what_isnt_mounted"),
    Mutant(_RemovesOnce, "test_removing"),
    Mutant(_MountsAnything, "test_removing"),
    Mutant(_ElsewherePath, "test_its_path"),
    Mutant(_CountsNames, "test_its_size"),
    Mutant(_TakesAnyName, "test_names_that_lead_elsewhere", ("../up",)),
    Mutant(_FailsAtLength, "test_a_name_as_long_as_a_file_s"),
    Mutant(_TakesAnyOption, "test_an_option_that_isnt_known"),
    Mutant(_Planet, "test_its_scope"),
    Mutant(_OneAtATime, "test_many_at_once"),
)


class _Forgets(_Broken):
    """Knows only what it made itself."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.made: set[str] = set()

    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        found: Volume = self.inner.create(name, *more, **named)
        self.made.add(found.name)
        return found

    def get(self, name: str) -> Volume:
        if name not in self.made:
            raise NotFound(name)
        found: Volume = self.inner.get(name)
        return found


class _Unsorted(_Broken):
    def list(self) -> tuple[Volume, ...]:
        found: tuple[Volume, ...] = self.inner.list()
        return found[::-1]


class _Refuses(_Broken):
    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        if any(each.name == name for each in self.inner.list()):
            raise Conflict(f"{name}: name must be unique")
        found: Volume = self.inner.create(name, *more, **named)
        return found


class _AnyDriver(_Broken):
    def create(self, name: str = "", driver: str = "", *more: Any, **named: Any) -> Volume:
        found: Volume = self.inner.create(name, "", *more, **named)
        return found


class _ShortNames(_Broken):
    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        number = len(self.inner.list())
        found: Volume = self.inner.create(name or f"volume{number}", *more, **named)
        return found


class _HidesAnonymous(_Broken):
    def get(self, name: str) -> Volume:
        found: Volume = evolve(self.inner.get(name), anonymous=False)
        return found


class _AnyName(_Broken):
    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        try:
            found: Volume = self.inner.create(name, *more, **named)
        except Invalid as error:
            if "invalid characters" not in str(error):
                raise
            found = self.inner.create("".join(each for each in name if each.isalnum()) or "name", *more, **named)
        return found


class _LeavesHalf(_Broken):
    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        try:
            found: Volume = self.inner.create(name, *more, **named)
        except Invalid:
            self.inner.create(name)
            raise
        return found


class _PassesOverHolders(_Broken):
    def create(self, *given: Any, holder: str = "", **named: Any) -> Volume:
        found: Volume = self.inner.create(*given, **named)
        return evolve(found, users=(holder,)) if holder else found


class _HoldsAnything(_Broken):
    def hold(self, name: str, container_id: str) -> None:
        try:
            self.inner.hold(name, container_id)
        except NotFound:
            return


class _ForceNeedsOne(_Broken):
    def remove(self, name: str, *, force: bool = False) -> None:
        self.inner.remove(name)


class _NoUsers(_Broken):
    def list(self) -> tuple[Volume, ...]:
        return tuple(evolve(each, users=()) for each in self.inner.list())


class _ReleasesAll(_Broken):
    def release(self, name: str, container_id: str) -> None:
        for each in self.inner.get(name).users:
            self.inner.release(name, each)


class _ForcesInUse(_Broken):
    def remove(self, name: str, *, force: bool = False) -> None:
        if force:
            for each in self.inner.get(name).users:
                self.inner.release(name, each)
        self.inner.remove(name, force=force)


class _KeepsData(_Broken):
    """Keeps what was in a volume for the next of that name."""

    def remove(self, name: str, *, force: bool = False) -> None:
        folder = self.inner.get(name).mountpoint
        kept = {each.name: each.read_bytes() for each in folder.iterdir()}
        self.inner.remove(name, force=force)
        self.inner.create(name)
        for file, content in kept.items():
            (folder / file).write_bytes(content)


class _RemovesMounted(_Broken):
    def remove(self, name: str, *, force: bool = False) -> None:
        self.inner.unmount(name, "c1")
        self.inner.remove(name, force=force)


class _NoSize(_Broken):
    def size_bytes(self, name: str) -> int:
        return 0


class _TellsAlways(_Broken):
    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        found: Volume = self.inner.create(name, *more, **named)
        self.inner._tell("create", found.name, self.inner._records.get(found.name))
        return found


class _MakesTwice(_Broken):
    """Gives each caller a volume as if it was the first."""

    count = 0

    def create(self, name: str = "", *more: Any, **named: Any) -> Volume:
        type(self).count += 1
        created = f"2020-01-01T00:00:{self.count:02}Z"
        found: Volume = evolve(self.inner.create(name, *more, **named), created=created)
        return found


class _RemovesHeld(_Broken):
    """Looks at who has it before the removal, and not while."""

    def remove(self, name: str, *, force: bool = False) -> None:
        import time

        users = self.inner.get(name).users
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        until = time.monotonic() + 0.2
        while not self.inner.get(name).users and time.monotonic() < until:
            time.sleep(0.001)
        for each in self.inner.get(name).users:
            self.inner.release(name, each)
        try:
            self.inner.remove(name, force=force)
        except MobyError:
            return


MUTANTS = (
    Mutant(_Forgets, "test_a_volume_is_there_once_it_is_made"),
    Mutant(_Unsorted, "test_a_volume_is_there_once_it_is_made"),
    Mutant(_Refuses, "test_making_one_that_is_there"),
    Mutant(_AnyDriver, "test_making_one_that_is_there"),
    Mutant(_ShortNames, "test_anonymous_ones"),
    Mutant(_HidesAnonymous, "test_anonymous_ones"),
    Mutant(_AnyName, "test_names_that_are_none", ("a b",)),
    Mutant(_LeavesHalf, "test_what_a_driver_refuses"),
    Mutant(_AnyDriver, "test_what_a_driver_refuses"),
    Mutant(_HoldsAnything, "test_one_that_isnt_there"),
    Mutant(_ForceNeedsOne, "test_one_that_isnt_there"),
    Mutant(_NoUsers, "test_who_has_it"),
    Mutant(_ReleasesAll, "test_who_has_it"),
    Mutant(_PassesOverHolders, "test_who_has_it_from_the_first"),
    Mutant(_ForcesInUse, "test_one_in_use_isnt_removed"),
    Mutant(_KeepsData, "test_removing"),
    Mutant(_RemovesMounted, "test_mounted_ones_stay"),
    Mutant(_NoSize, "test_its_folder_and_size"),
    Mutant(_TellsAlways, "test_events"),
    Mutant(_MakesTwice, "test_many_make_one"),
    Mutant(_RemovesHeld, "test_holding_and_removing_at_once"),
)
