"""Paths: links in images and volumes, planted or exchanged meanwhile, lead out of no root."""

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import Victim, docker_like, resolve_carelessly, run_bundle, tampered

from moby.errors import MobyError
from moby.host import mounts
from moby.host.syscalls import call, libc
from moby.testing.boxes import Boxes

RENAME_EXCHANGE = 2


def plain(boxes: Boxes, *args: str) -> dict[str, Any]:
    """A config.json with no mounts but those of a test, so that the image's own files are what is met."""
    data = boxes.config(*args or ("true",))
    data["mounts"] = []
    data["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
    return data


def run_or_be_refused(boxes: Boxes, bundle: Path, *, terminal: bool = False) -> bool:
    """Run a bundle of the image's maker; a refusal is as good as an end. Say whether it ran."""
    try:
        run_bundle(boxes, bundle, bundle.name, terminal=terminal)
    except MobyError:
        return False
    return True


def planted(boxes: Boxes, name: str, data: dict[str, Any], link: str, target: object) -> Path:
    """Make a bundle whose image has a link in place of a file or folder."""
    bundle = tampered(boxes, name, data)
    place = bundle / "rootfs" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(str(target))
    return bundle


class TestLinksInImages:
    @pytest.fixture(params=["absolute", "relative", "chain"])
    def outside(self, request: pytest.FixtureRequest, victim: Victim) -> Callable[[Path], str]:
        """What a link in a folder says, to lead to the victim."""

        def leading(folder: Path) -> str:
            if request.param == "absolute":
                return str(victim.folder)
            if request.param == "relative":
                return os.path.relpath(victim.folder, folder)
            step = folder / "step"
            if not step.is_symlink():
                step.symlink_to(victim.folder.parent)
            return "step/victim"

        return leading

    MOUNTS = (
        {"destination": "/data/made", "type": "tmpfs", "source": "t"},
        {"destination": "/data", "type": "tmpfs", "source": "t"},
        {"destination": "/data/file", "source": "/dev/null", "options": ["bind"]},
        {"destination": "/data/below/deep/er", "source": "/dev", "options": ["rbind"]},
    )

    def test_mount_targets(self, boxes: Boxes, victim: Victim, outside: Callable[[Path], str]) -> None:
        """CVE-2015-1335, CVE-2015-3629, CVE-2024-1753: a mount's target goes by a link to the host."""
        before = victim.seen()
        for number, point in enumerate(self.MOUNTS):
            data = plain(boxes)
            data["mounts"] = [point]
            bundle = tampered(boxes, f"target{number}", data)
            (bundle / "rootfs/data").symlink_to(outside(bundle / "rootfs"))
            run_or_be_refused(boxes, bundle)
            assert victim.seen() == before

    def test_mount_targets_are_made_outside_without_care(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        before = victim.seen()
        resolve_carelessly(monkeypatch)
        data = plain(boxes)
        data["mounts"] = [self.MOUNTS[0]]
        run_or_be_refused(boxes, planted(boxes, "careless", data, "data", victim.folder))
        assert victim.seen() != before

    @pytest.mark.parametrize(
        ("link", "terminal"),
        [
            pytest.param("dev", False, id="dev"),
            pytest.param("dev", True, id="dev-with-a-terminal"),
            pytest.param("dev/console", True, id="console"),
            pytest.param("dev/null", False, id="null"),
            pytest.param("dev/ptmx", False, id="ptmx"),
            pytest.param("dev/pts", True, id="pts"),
            pytest.param("dev/fd", False, id="fd"),
            pytest.param("etc", False, id="etc"),
            pytest.param("proc", False, id="proc"),
            pytest.param("sys", False, id="sys"),
        ],
    )
    def test_what_the_runtime_makes_in_a_root(self, boxes: Boxes, victim: Victim, link: str, terminal: bool) -> None:
        """CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2026-88265, CVE-2025-24965, CVE-2024-5154.

        Devices, the console, links in /dev, files for others: all went through a link of the image to the host.
        """
        before = victim.seen()
        for number, target in enumerate((victim.folder, victim.folder / "fresh", victim.secret)):
            data = plain(boxes)
            data["process"]["terminal"] = terminal
            run_or_be_refused(boxes, planted(boxes, f"made{number}", data, link, target), terminal=terminal)
            assert victim.seen() == before

    def test_it_makes_devices_outside_without_care(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        resolve_carelessly(monkeypatch)
        run_or_be_refused(boxes, planted(boxes, "careless", plain(boxes), "dev", victim.folder))
        assert {"null", "fd"} <= victim.seen().keys()

    @pytest.mark.parametrize("link", ["proc", "sys", "dev/pts", "dev/mqueue", "dev/shm", "sys/fs/cgroup"])
    def test_mounts_of_docker(self, boxes: Boxes, victim: Victim, link: str) -> None:
        """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: /proc or /sys is a link of the image."""
        before = victim.seen()
        data = docker_like(boxes, "true")
        data["root"]["path"] = "rootfs"
        ran = run_or_be_refused(boxes, planted(boxes, "proc", data, link, victim.folder))
        assert victim.seen() == before
        assert not (ran and link in ("proc", "sys"))

    @pytest.mark.parametrize("name", ["proc", "sys"])
    def test_proc_elsewhere_in_the_root(self, boxes: Boxes, name: str) -> None:
        """CVE-2019-19921: a link inside the root, so that what the container may write is taken for /proc."""
        data = docker_like(boxes, "true")
        data["root"]["path"] = "rootfs"
        bundle = planted(boxes, "elsewhere", data, name, "/tmp/fake")
        (bundle / "rootfs/tmp/fake").mkdir()
        with pytest.raises(MobyError, match=rf"mounts\[\d\].*{name}"):
            boxes.create_in(bundle, "elsewhere")


def exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step (renameat2(2))."""
    call(libc.renameat2, -100, os.fsencode(one), -100, os.fsencode(other), ctypes.c_uint(RENAME_EXCHANGE))


@contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names again and again, in a process of its own, as another container on the volume would."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                exchange(one, other)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@pytest.mark.slow
class TestExchanges:
    """Two containers share a volume; in one of them a folder becomes a link while the other is made."""

    def volume(self, boxes: Boxes, victim: Victim) -> Path:
        volume = boxes.bundles.folder / "volume"
        (volume / "a/b").mkdir(parents=True)
        (volume / "link").symlink_to(f"/{'../' * 20}{victim.folder}")
        return volume

    def config(self, boxes: Boxes, volume: Path) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "cat /volume/a/given /volume/a/b/given; ls /volume/a/b/ /volume/a/c/")
        data["mounts"] += [
            {"destination": "/volume", "source": str(volume), "options": ["rbind"]},
            {"destination": "/volume/a/b", "type": "tmpfs", "source": "t"},
            {"destination": "/volume/a/c/d/e", "type": "tmpfs", "source": "t"},
            {"destination": "/volume/a/f", "source": "/dev/null", "options": ["bind"]},
            {"destination": "/volume/a/b/self", "source": str(volume), "options": ["bind"]},
        ]
        return data

    def audited(self, volume: Path, rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Write down each target of a mount that isn't below the root; made in the process that mounts."""
        outside = volume.parent / "outside"
        outside.touch()
        attach, mount = mounts.attach, mounts.mount
        roots = (str(rootfs), "/proc/self/fd")

        def check(path: str) -> None:
            if not path.startswith(roots) and path != "/":
                with outside.open("a") as file:
                    file.write(f"{path}\n")

        def attached(tree: int, target: int, *rest: Any, **more: Any) -> None:
            check(str(Path(f"/proc/self/fd/{target}").readlink()))
            attach(tree, target, *rest, **more)

        def mounted(source: str, target: str, *rest: Any, **more: Any) -> None:
            check(str(Path(target).readlink()) if target.startswith("/proc/self/fd/") else target)
            mount(source, target, *rest, **more)

        monkeypatch.setattr(mounts, "attach", attached)
        monkeypatch.setattr(mounts, "mount", mounted)
        return outside

    def attack(self, boxes: Boxes, victim: Victim, rounds: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
        """Make containers while names are exchanged; say how many ran and how many were refused."""
        volume = self.volume(boxes, victim)
        bundle = boxes.bundles.make("race", self.config(boxes, volume))
        outside = self.audited(volume, boxes.bundles.rootfs, monkeypatch)
        before = victim.seen()
        ran = 0
        with exchanging(volume / "a", volume / "link"):
            for _ in range(rounds):
                ran += run_or_be_refused(boxes, bundle)
                assert victim.seen() == before
        assert outside.read_text() == ""
        return ran, rounds - ran

    @pytest.mark.slow
    def test_links_that_come_and_go(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        """CVE-2021-30465, CVE-2024-45310, CVE-2018-15664, CVE-2024-0132, CVE-2024-0133, CVE-2026-42306."""
        self.attack(boxes, victim, 40, monkeypatch)

    @pytest.mark.long
    def test_links_that_come_and_go_for_long(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        ran, refused = self.attack(boxes, victim, 3000, monkeypatch)
        assert ran and refused

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_links_that_come_at_each_step(self, boxes: Boxes, victim: Victim, moment: str, monkeypatch) -> None:
        """CVE-2021-30465, CVE-2024-45310: the exchange is timed as well as it can be, at every look at a path."""
        volume = self.volume(boxes, victim)
        bundle = boxes.bundles.make("steps", self.config(boxes, volume))
        outside = self.audited(volume, boxes.bundles.rootfs, monkeypatch)
        before = victim.seen()
        for step in range(60):
            steps = self.exchange_at(volume, step, moment, monkeypatch)
            run_or_be_refused(boxes, bundle)
            assert victim.seen() == before
            monkeypatch.setattr(mounts, "open_in_root", steps)
            if (volume / "a").is_symlink():
                exchange(volume / "a", volume / "link")
        assert outside.read_text() == ""

    @pytest.mark.parametrize(
        "options", [["ro"], ["ro", "tmpcopyup"], ["tmpcopyup", "rro"], ["tmpcopyup", "rro", "shared"]]
    )
    def test_links_that_come_after_a_mount(self, boxes: Boxes, options: list[str], monkeypatch) -> None:
        """CVE-2021-30465, CVE-2024-45310: what is done to a mount later goes to another one, or none."""
        volume = boxes.bundles.folder / "shared"
        for name in ("a", "other"):
            (volume / name / "b").mkdir(parents=True)
        (volume / "a/b/given").write_text("given\n")
        script = (
            "cat /volume/other/b/given; echo > /volume/a/b/x && echo written; echo > /volume/other/b/x || echo kept"
        )
        data = boxes.config("sh", "-c", script)
        data["mounts"] += [
            {"destination": "/volume", "source": str(volume), "options": ["rbind"]},
            {"destination": "/volume/a/b", "type": "tmpfs", "source": "t", "options": options},
        ]
        attach = mounts.attach

        def attached(tree: int, target: int) -> None:
            place = str(Path(f"/proc/self/fd/{target}").readlink())
            attach(tree, target)
            if place.endswith("/volume/a/b"):
                exchange(volume / "a", volume / "other")

        monkeypatch.setattr(mounts, "attach", attached)
        _, text = boxes.run_config(data)
        wanted = ["given", "written", "kept"] if "tmpcopyup" in options else ["written", "kept"]
        assert [line for line in text.splitlines() if not line.startswith(("cat:", "sh:"))] == wanted

    def exchange_at(self, volume: Path, step: int, moment: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        """Exchange the names once, before or after a certain look at a path."""
        original = mounts.open_in_root
        count = 0

        def watched(*arguments: Any, **more: Any) -> int:
            nonlocal count
            count += 1
            if count == step and moment == "before":
                exchange(volume / "a", volume / "link")
            try:
                return original(*arguments, **more)
            finally:
                if count == step and moment == "after":
                    exchange(volume / "a", volume / "link")

        monkeypatch.setattr(mounts, "open_in_root", watched)
        return original

    def test_they_lead_out_without_care(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        volume = self.volume(boxes, victim)
        bundle = boxes.bundles.make("careless", self.config(boxes, volume))
        outside = self.audited(volume, boxes.bundles.rootfs, monkeypatch)
        resolve_carelessly(monkeypatch)
        exchange(volume / "a", volume / "link")
        before = victim.seen()
        run_or_be_refused(boxes, bundle)
        assert victim.seen() != before
        assert str(victim.folder) in outside.read_text()


class TestAfterwards:
    def test_what_is_removed_follows_no_link(self, boxes: Boxes, victim: Victim) -> None:
        """CVE-2024-23652: what was made for a mount is removed later, where the container has put a link."""
        before = victim.seen()
        data = boxes.config("sh", "-c", f"mv /made /moved && ln -s {victim.folder} /made && echo planted")
        data["mounts"].append({"destination": "/made/deep/secret", "type": "tmpfs", "source": "t"})
        bundle = tampered(boxes, "stub", data)
        assert run_bundle(boxes, bundle, "stub") == "planted\n"
        assert (bundle / "rootfs/made").is_symlink()
        assert victim.seen() == before
        with suppress(MobyError):
            boxes.runtime.delete("stub", force=True)
        assert victim.seen() == before


def test_exchanges_are_made(tmp_path: Path) -> None:
    """The racer really races: both states are met."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").touch()
    seen = set()
    stop = threading.Event()
    timer = threading.Timer(60, stop.set)
    timer.start()
    with exchanging(tmp_path / "one", tmp_path / "two"):
        while len(seen) < 2 and not stop.is_set():
            seen.add((tmp_path / "one").is_dir())
    timer.cancel()
    assert seen == {True, False}
