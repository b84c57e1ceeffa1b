"""The conformance suite of the kind `packager`."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from attrs import evolve, frozen

from moby.contracts.packager import FORMAT, Artifact, Entry, Given, Packager, Source
from moby.errors import Unsupported

__all__ = ["SOURCE", "STARTED", "Built", "PackagerSuite", "build_elsewhere", "built_in_chain"]

STARTED = "the sample engine started"
NATIVE = Entry("sample/fast.cpython-313-x86_64-linux-gnu.so", b"\x7fELF machine code", "native-sample 1.0")
CHECKED_IN = {"PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
"""Variables that a build may need to find its tools; all others are set otherwise for each build."""

CHILD = """
import json, os, pickle, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
for name in given["imports"]:
    __import__(name)
if given["shift_s"]:
    import time
    now, now_ns, utc, local = time.time, time.time_ns, time.gmtime, time.localtime
    time.time = lambda: now() + given["shift_s"]
    time.time_ns = lambda: now_ns() + given["shift_s"] * 10**9
    time.gmtime = lambda at=None: utc(time.time() if at is None else at)
    time.localtime = lambda at=None: local(time.time() if at is None else at)
chain, source = pickle.loads(bytes.fromhex(given["job"]))
from pathlib import Path
from moby.testing.packager import built_in_chain
artifact = built_in_chain(chain, source, Path(given["before"]), Path(given["out"]))
fingerprint = getattr(chain[-1], "fingerprint", lambda: "")()
said = {"files": [str(each) for each in artifact.files], "sizes": dict(artifact.sizes_bytes)}
json.dump({**said, "brought": [each.owner for each in artifact.brought], "fingerprint": fingerprint}, sys.stdout)
"""


def built_in_chain(chain: Sequence[Packager], source: Source, before: Path, out: Path) -> Artifact:
    """Build with each in turn, of what the one before gave; the last into `out`, the others below `before`.

    The first is given what the source says.
    """
    given = source.given
    for number, packager in enumerate(chain[:-1]):
        folder = before / str(number)
        folder.mkdir(parents=True)
        given = Given(folder, packager.build(evolve(source, given=given), folder))
    return chain[-1].build(evolve(source, given=given), out)


def _source() -> Source:
    main = f"import sample.words\nprint(sample.words.SAID)\n# {'x' * 4000}\n"
    words = f"SAID = {STARTED!r}\nPICKED = 'b' in {{'a', 'b', 'c'}}\n"
    entries = (
        Entry("__main__.py", main.encode(), "moby"),
        Entry("licenses/sample/LICENSE", b"A licence text.\n", "sample 1.0"),
        Entry("moby-lock.json", b"{}\n", "moby"),
        Entry("sample/__init__.py", b'"""A package."""\n', "sample 1.0"),
        Entry("sample/run.sh", b"#!/bin/sh\n", "runtime/sample", executable=True),
        Entry("sample/words.py", words.encode(), "runtime/sample"),
    )
    return Source("sample-engine", entries)


SOURCE = _source()
"""A small engine: it says `STARTED` on standard output, and ends."""


@frozen
class Built:
    """What a build in a process of its own came to."""

    artifact: Artifact
    files: Mapping[str, bytes]
    """Everything that it left in its folder, by path."""
    modes: Mapping[str, int]
    """Permissions of each."""
    strays: tuple[str, ...]
    """What it left in its working folder, its home, and where temporary files go."""
    brought: tuple[str, ...]
    """Owners of what the packager put in itself."""
    fingerprint: str


def build_elsewhere(
    packager: Packager, source: Source, folder: Path, *, before: Sequence[Packager] = (), other: bool = False
) -> Built:
    """Build in a fresh process; `other` changes all that must not matter: place, time, zone, umask, seed, locale.

    `before` are the packagers that make what this one takes, each of what the one before it gives.
    """
    names = ("o", "w", "h", "t") if not other else ("out/deep", "cwd", "home", "temporary")
    out, working, home, temporary = (folder / name for name in names)
    for each in (out, working, home, temporary):
        each.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if name in CHECKED_IN}
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "TZ": "Pacific/Kiritimati" if other else "UTC",
        "PYTHONHASHSEED": "12345" if other else "0",
        "LC_ALL": "C.UTF-8" if other else "C",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    given: dict[str, Any] = {
        "path": sys.path,
        "imports": ["decimal", "email.message", "xml.dom.minidom"] if other else [],
        "shift_s": 40_000_000 if other else 0,
        "job": pickle.dumps(((*before, packager), source)).hex(),
        "before": str(folder / "before"),
        "out": str(out),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        input=json.dumps(given), capture_output=True, text=True, cwd=working, env=kept | environment,
        umask=0o077 if other else 0o022, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"the build failed:\n{done.stderr}"
    told = json.loads(done.stdout)
    found = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return Built(
        Artifact(tuple(map(Path, told["files"])), told["sizes"]),
        {name: path.read_bytes() for name, path in found.items()},
        {name: path.stat().st_mode & 0o777 for name, path in found.items()},
        tuple(str(path) for place in (working, home, temporary) for path in sorted(place.rglob("*"))),
        tuple(told["brought"]),
        told["fingerprint"],
    )


class PackagerSuite:
    """What every packager must do. A subclass brings the fixture `packager` and `start`.

    The packager must be a value that `pickle` carries, since it is built with in other processes. `before` are the
    packagers that make what it takes, each of what the one before it gives.
    """

    before: Sequence[Packager] = ()

    carries_native = False
    """Whether the format unpacks, so that native modules can be loaded from it."""

    @pytest.fixture
    def packager(self) -> Packager:
        """Return the packager under test."""
        raise NotImplementedError("a subclass brings the fixture `packager`")

    def start(self, folder: Path, artifact: Artifact) -> str:
        """Start what was built, with no network, and return its output, errors too."""
        raise NotImplementedError("a subclass says how to start what it builds")

    def test_same_bytes_whatever_surrounds_the_build(self, packager: Packager, tmp_path: Path) -> None:
        """Place, time, zone, umask, hash seed, locale and what else is imported don't matter."""
        here = build_elsewhere(packager, SOURCE, tmp_path / "here", before=self.before)
        there = build_elsewhere(packager, SOURCE, tmp_path / "there", before=self.before, other=True)
        assert sorted(here.files) == sorted(there.files)
        differing = [name for name, data in here.files.items() if there.files[name] != data]
        assert not differing, f"built twice, these differ: {differing}"
        executable = {name: mode & 0o100 for name, mode in here.modes.items()}
        assert executable == {name: mode & 0o100 for name, mode in there.modes.items()}, "whether it may be run differs"
        assert here.fingerprint == there.fingerprint, "the fingerprint of one host differs"

    def test_sizes_add_up(self, packager: Packager, tmp_path: Path) -> None:
        """Each byte has an owner: one of the entries', what a packager brought by name and version, or the format."""
        built = build_elsewhere(packager, SOURCE, tmp_path, before=self.before)
        total = sum(len(built.files[str(path)]) for path in built.artifact.files)
        assert sum(built.artifact.sizes_bytes.values()) == total, "the owners' bytes don't add up"
        brought = {*built.brought, *self._brought_before(tmp_path)}
        made_up = {*built.artifact.sizes_bytes} - {FORMAT} - {entry.owner for entry in SOURCE.entries} - brought
        assert not made_up, f"owners that brought nothing: {sorted(made_up)}"
        assert min(built.artifact.sizes_bytes.values()) >= 0

    def _brought_before(self, folder: Path) -> set[str]:
        """Return the owners of what the packagers before put in."""
        chains = [self.before[: count + 1] for count in range(len(self.before))]
        built = [build_elsewhere(each[-1], SOURCE, folder / str(len(each)), before=each[:-1]) for each in chains]
        return {owner for each in built for owner in each.brought}

    def test_growth_is_its_owners(self, packager: Packager, tmp_path: Path) -> None:
        """What an owner adds is counted as that owner's."""
        noise = Entry("sample/noise.bin", bytes(os.urandom(50_000)), "runtime/sample")
        grown = evolve(SOURCE, entries=tuple(sorted([*SOURCE.entries, noise], key=lambda entry: entry.path)))
        before, after = (
            build_elsewhere(packager, source, tmp_path / name, before=self.before).artifact.sizes_bytes
            for name, source in (("before", SOURCE), ("after", grown))
        )
        growth = after.get(noise.owner, 0) - before.get(noise.owner, 0)
        assert growth > 45_000, "what was added isn't counted as its owner's"

    def test_names_its_files(self, packager: Packager, tmp_path: Path) -> None:
        """All that is in the folder is listed, relative, and begins with the engine's name."""
        built = build_elsewhere(packager, SOURCE, tmp_path, before=self.before)
        listed = sorted(str(path) for path in built.artifact.files)
        assert listed == sorted(built.files), "files that aren't listed, or listed ones that aren't there"
        assert all(PurePosixPath(name).parts[0].startswith(SOURCE.name) for name in listed), "all begin with the name"

    def test_writes_nowhere_else(self, packager: Packager, tmp_path: Path) -> None:
        """The working folder, the home and the place for temporary files stay as they were."""
        strays = build_elsewhere(packager, SOURCE, tmp_path, before=self.before).strays
        assert not strays, f"building left {list(strays)}"

    def test_starts(self, packager: Packager, tmp_path: Path) -> None:
        """What was built runs the engine's main module with all its files."""
        said = self.start(tmp_path, built_in_chain((*self.before, packager), SOURCE, tmp_path / "before", tmp_path))
        assert STARTED in said, f"started, it said {said!r}"

    def test_native_modules(self, packager: Packager, tmp_path: Path) -> None:
        """A format that can't load native modules refuses them by name."""
        entries = tuple(sorted([*SOURCE.entries, NATIVE], key=lambda entry: entry.path))
        chain, source = (*self.before, packager), evolve(SOURCE, entries=entries)
        if self.carries_native:
            assert built_in_chain(chain, source, tmp_path / "before", tmp_path).files
            return
        with pytest.raises(Unsupported) as caught:
            built_in_chain(chain, source, tmp_path / "before", tmp_path)
        assert NATIVE.owner in str(caught.value)
        assert NATIVE.path in str(caught.value)
