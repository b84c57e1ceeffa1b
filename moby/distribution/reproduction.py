"""Builds an artifact again as its lock says, and compares."""

import io
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Source
from moby.distribution.build import packagers
from moby.distribution.contents import LOCK, render
from moby.distribution.installed import running_python
from moby.distribution.locking import pins
from moby.distribution.provenance import formats_in
from moby.distribution.steps import Steps
from moby.errors import HostUnfit, Invalid, NotFound, Problem
from moby.lock import Lock, Pin, loads
from moby.plan import Instance
from moby.values import evolve

__all__ = ["Reproduction", "embedded_lock", "reproduce", "reproduce_from"]

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What reading a damaged zip raises."""
BESIDE = ".lock.json"
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from moby.cli.main import main; main(sys.argv[2:])"


@frozen
class Reproduction:
    """Whether building again came to the same bytes, and if not, the first difference."""

    artifact: Path
    same: bool
    difference: str = ""
    notes: tuple[str, ...] = ()


def reproduce(artifact: Path) -> Reproduction:
    """Build an artifact again from what is installed, and compare.

    HostUnfit where another Python minor built it; Invalid names each installed distribution that isn't the locked one.
    """
    try:
        given = artifact.read_bytes()
    except OSError as error:
        raise NotFound(
            f"no artifact at {artifact}: {error.strerror}", hint="name a file that assembling made"
        ) from error
    lock = embedded_lock(artifact, given)
    if lock.python != running_python():
        raise HostUnfit(
            f"{artifact} holds bytecode of Python {lock.python}; this is Python {running_python()}",
            hint=f"run moby with Python {lock.python}",
        )
    _refuse_others(lock)
    source = render(lock.engine, lock)
    with tempfile.TemporaryDirectory(prefix="moby-reproduce-") as folder:
        built = _rebuilt(lock, source, artifact, Path(folder))
    notes = tuple(f"{name} is a working tree: nobody else can get it to reproduce this" for name in lock.editable)
    return Reproduction(artifact, built == given, _difference(given, built, source), notes)


def reproduce_from(artifact: Path, wheels: Path, arguments: tuple[str, ...] = ()) -> int:
    """Do `moby reproduce` with the wheels of a folder before what is installed, and return its exit code."""
    if not wheels.is_dir():
        raise NotFound(f"no folder {wheels}", hint="pip download -d DIR the distributions that the lock names")
    lock = embedded_lock(artifact, artifact.read_bytes() if artifact.is_file() else b"")
    wanted = {(pin.name, pin.version) for pin in lock.distributions}
    with tempfile.TemporaryDirectory(prefix="moby-wheels-") as folder:
        for wheel in sorted(wheels.glob("*.whl")):
            name, version, *_ = wheel.name.split("-")
            if (re.sub(r"[-_.]+", "-", name).lower(), version) in wanted:
                _unpack(wheel, Path(folder))
        command = [sys.executable, "-P", "-c", CHILD, folder, "reproduce", str(artifact), *arguments]
        return subprocess.run(command, check=False).returncode


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                path = Path(archive.extract(info, folder))
                if info.external_attr >> 16 & 0o111:  # as pip does
                    path.chmod(path.stat().st_mode | 0o111)
    except (zipfile.BadZipFile, OSError) as error:
        raise Invalid(f"{wheel} can't be unpacked: {error}", hint="get the wheel again") from error


def embedded_lock(artifact: Path, data: bytes) -> Lock:
    """Return the lock inside an artifact, or else the one beside it; Invalid where there is neither."""
    with suppress(*BROKEN, KeyError), zipfile.ZipFile(io.BytesIO(data)) as archive:
        return loads(archive.read(LOCK), source=f"{artifact}/{LOCK}")
    beside = _beside(artifact)
    return loads(beside.read_bytes(), source=str(beside))


def _beside(artifact: Path) -> Path:
    """Return the lock that lies beside an artifact: the one of its name, else the only one."""
    found = sorted(artifact.parent.glob(f"*{BESIDE}"))
    own = [each for each in found if f"{artifact.name}.".startswith(f"{each.name.removesuffix(BESIDE)}.")]
    if not own and len(found) != 1:
        names = ", ".join(each.name for each in found)
        several = f"several lie beside it ({names})" if found else "none lies beside it"
        hint = f"name a file that assembling made, with the NAME{BESIDE} that was made with it beside it"
        raise Invalid(f"{artifact} holds no lock, and {several}", hint=hint)
    return max(own or found, key=lambda each: len(each.name))


def _refuse_others(lock: Lock) -> None:
    now = {pin.name: pin for pin in pins(lock.engine, lock.build)}
    problems = [
        Problem(_mismatch(pin, now.get(pin.name)), fixes=(_fix(pin),))
        for pin in lock.distributions
        if now.get(pin.name) != pin
    ]
    if problems:
        raise Invalid("what is installed isn't what was locked", problems=tuple(problems))


def _mismatch(locked: Pin, now: Pin | None) -> str:
    if now is None:
        return f"{locked.name} {locked.version} was used, and isn't now"
    if now.version != locked.version:
        return f"{locked.name} {locked.version} was used; {now.version} is installed"
    if locked.editable:
        return f"{locked.name} {locked.version} was a working tree, and this is not that very tree"
    return f"{locked.name} {locked.version} is installed with other files than those that were used"


def _fix(locked: Pin) -> str:
    if locked.editable:
        return f"check out the tree of {locked.name} that it was made from"
    return f"pip install {locked.name}=={locked.version}; or --wheels DIR with that wheel"


def _rebuilt(lock: Lock, source: Source, artifact: Path, folder: Path) -> bytes:
    """Return the bytes of the file that is called as the artifact is; failing that, of the one with its ending."""
    ending = _format_of(lock, artifact)
    build = lock.build.chain(ending.key) if ending else lock.build
    steps = Steps(evolve(lock, build=build), packagers(build, folder))
    made: dict[str, Path] = {}
    for name, step in steps.run(source, folder).items():
        between = ending is None and any(each.name == name and each.between for each in build.instances)
        made.update({path.name: step.folder / path for path in step.artifact.files if not between})
    found = made.get(artifact.name) or _alike(made, artifact)
    if found is None:
        raise Invalid(f"{artifact} is none of the files that its lock makes: {', '.join(sorted(made))}")
    return found.read_bytes()


def _format_of(lock: Lock, artifact: Path) -> Instance | None:
    """Return the packager of a file: as told beside it, else the one whose name is in the file's; None for no such.

    Of several that are, as in NAME.sysext.raw, it is the first.
    """
    told: dict[str, str] = {}
    with suppress(OSError):
        told = formats_in(artifact.with_name(f"{lock.name}.intoto.json").read_bytes())
    packagers_of = {each.name: each for each in lock.build.of_kind("packager")}
    if told.get(artifact.name) in packagers_of:
        return packagers_of[told[artifact.name]]
    places = [(f"{artifact.name}.".find(f".{name}."), each) for name, each in packagers_of.items()]
    found = [(place, each) for place, each in places if place >= 0]
    return min(found, key=lambda each: each[0], default=(0, None))[1]


def _alike(made: Mapping[str, Path], artifact: Path) -> Path | None:
    alike = [path for name, path in made.items() if Path(name).suffix == artifact.suffix]
    return alike[0] if len(alike) == 1 else None


def _difference(given: bytes, built: bytes, source: Source) -> str:
    """Say where two artifacts first differ: in a zip by entry and owner, else by offset."""
    if given == built:
        return ""
    at = next((at for at, (one, other) in enumerate(zip(given, built, strict=False)) if one != other), None)
    offset = f"byte {at if at is not None else min(len(given), len(built))}"
    try:
        return _differing_entry(given, built, source) or (
            f"all entries are the same, but {offset} around them (the interpreter line, or another zlib)"
        )
    except BROKEN:
        return f"they differ from {offset} on"


def _differing_entry(given: bytes, built: bytes, source: Source) -> str:
    """Name the first entry of two zips that differs, and its owner; nothing where all are the same."""
    owners = {entry.path: entry.owner for entry in source.entries}
    with zipfile.ZipFile(io.BytesIO(given)) as one, zipfile.ZipFile(io.BytesIO(built)) as other:
        for name in sorted({*one.namelist(), *other.namelist()}):
            whose = owners.get(name) or owners.get(name.removesuffix("c")) or "nobody"
            if name not in other.namelist():
                return f"{name} (of {whose}) is only in the artifact"
            if name not in one.namelist():
                return f"{name} (of {whose}) is only in what was built again"
            if _entry(one, name) != _entry(other, name):
                return f"{name} (of {whose}) differs"
    return ""


def _entry(archive: zipfile.ZipFile, name: str) -> tuple[object, ...]:
    info = archive.getinfo(name)
    try:
        return archive.read(name), info.date_time, info.external_attr, info.compress_type
    except BROKEN as error:
        return (str(error),)
