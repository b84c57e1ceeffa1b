"""A disk that fills up in the middle of `assemble`, `image from-host` or `run` leaves things as they were."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import frozen
from fault_engine import Engine, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1), of util-linux"),
]

SCRIPT = """
set -u
disk=$1 room_kib=$2
mount -t tmpfs -o size=24m,mode=755 tmpfs "$disk" || exit 99
eval "$PREPARE" >/dev/null 2>&1 || exit 98
find "$disk" ! -name cache | sort >"$SEEN.before"
if [ "$room_kib" = inodes ]; then
    mount -o remount,nr_inodes=$(($(df --output=iused "$disk" | tail -1) + 3)) "$disk" || exit 97
else
    free=$(($(df --output=avail -k "$disk" | tail -1) - room_kib))
    head -c "${free}K" /dev/zero >"$disk/filler"
fi
eval "$CALL" >"$SEEN.out" 2>"$SEEN.err"
code=$?
rm -f "$disk/filler"
mount -o remount,nr_inodes=0 "$disk"
find "$disk" ! -name cache | sort >"$SEEN.after"
eval "$CALL" >/dev/null 2>"$SEEN.again" || exit 96
exit $code
"""


@frozen
class Outcome:
    """How a call on a full disk ended, and what was there before and after it."""

    code: int
    err: str
    before: list[str]
    after: list[str]


def on_a_full_disk(disk: Path, room: str, call: list[str], prepare: list[str], env: dict[str, str]) -> Outcome:
    """Make a call in a mount namespace of its own, where the disk has just so much room; then again with more."""
    disk.mkdir()
    seen = disk.with_name("seen")
    entering = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    told = {"CALL": shlex.join(call), "PREPARE": shlex.join(prepare), "SEEN": str(seen), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*entering, "sh", "-c", SCRIPT, "sh", str(disk), room], env={**env, **told}, timeout=120, check=False
    )
    text = {end: Path(f"{seen}.{end}") for end in ("err", "again", "before", "after")}
    if done.returncode >= 96 and done.returncode < 100:
        pytest.fail(f"{done.returncode}: {text['again'].read_text() if text['again'].exists() else ''}")
    err = text["err"].read_text()
    assert "Traceback" not in err
    return Outcome(done.returncode, err, text["before"].read_text().split(), text["after"].read_text().split())


def check_refused(outcome: Outcome, code: int) -> None:
    """It says that there is no room, and what fixes that; or it needed no more than there was."""
    if outcome.code == 0:
        return
    assert outcome.code == code, outcome.err
    assert "No space left on device" in outcome.err
    assert "fix: " in outcome.err


ROOMS = ["0", "4", "40", "400", "inodes"]


@pytest.mark.parametrize("room", ROOMS)
def test_assemble(program: list[str], pyz: Path, folder: Path, room: str) -> None:
    disk = folder / "disk"
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    call = [*program, "assemble", "quickstart", "-o", str(disk / "dist")]
    earlier = ["cp", "--archive", str(pyz.parents[1]), str(disk / "dist")]
    changed = [*call, "--set", "components.images.config.max_unpacked_files=1"]
    outcome = on_a_full_disk(disk, room, changed, earlier, env)
    assert outcome.code != 0
    check_refused(outcome, 3)
    assert outcome.after == outcome.before


@pytest.mark.parametrize("room", [*ROOMS, "2000"])
def test_image_from_host(engine: Engine, room: str) -> None:
    disk = engine.folder / "disk"
    engine.root = disk / "root"
    prepare = engine.command("image", "from-host", "--tag", "small", "sleep")
    call = engine.command("image", "from-host", "--tag", "demo", "sh", "sleep", "cat", "ls")
    outcome = on_a_full_disk(disk, room, call, prepare, engine.env)
    assert outcome.code != 0
    check_refused(outcome, 3)
    assert outcome.after == outcome.before
    engine.root = engine.folder / "root"


@pytest.mark.parametrize("room", [*ROOMS, "2000", "4400"])
def test_run(engine: Engine, room: str) -> None:
    disk = engine.folder / "disk"
    engine.root = disk / "root"
    make = shlex.join(engine.command("image", "from-host", "--tag", "demo", "sh", "sleep", "cat", "ls"))
    call = engine.command("run", "demo", "sh", "-c", f"echo x\n: {engine.root}")
    # A first run makes the folders that stay.
    outcome = on_a_full_disk(disk, room, call, ["sh", "-c", f"{make} && {shlex.join(call)}"], engine.env)
    assert outcome.code != 0 or room == "4400"
    check_refused(outcome, 125)
    assert outcome.after == outcome.before
    assert engine.traces.left() == []
    engine.root = engine.folder / "root"


ENDING = """
set -u
disk=$1
ip link set lo up
mount -t tmpfs -o size=40m,mode=755 tmpfs "$disk" || exit 99
eval "$PREPARE" >/dev/null || exit 98
head -c 100M /dev/zero >"$disk/filler" 2>/dev/null
eval "$CALL"
code=$?
find "$disk/root" -mindepth 1
exit $code
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run it; run by root this is covered")
@pytest.mark.parametrize("before", ["ps", "down"])
def test_down_with_purge(program: list[str], folder: Path, before: str) -> None:
    """An engine with served parts and a database needs no more room to end than it has kept for that."""
    made = subprocess.run([*program, "assemble", "docker", "-o", str(folder / "dist")], timeout=120, check=False)
    assert made.returncode == 0
    engine = Engine(folder / "dist/docker/docker.pyz", folder, folder / "disk/root")
    engine.root.parent.mkdir()
    prepare = [shlex.join(engine.command(each)) for each in dict.fromkeys(["ps", before])]
    told = {"PREPARE": " && ".join(prepare), "CALL": shlex.join(engine.command("down", "--purge"))}
    command = ["unshare", "--mount", "--net", "sh", "-c", ENDING, "sh", str(folder / "disk")]
    done = subprocess.run(command, env={**engine.env, **told}, timeout=120, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
