"""A real packager, wrapped to break one promise at a time: the suite fails each of them."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.outcomes import Failed
from attrs import evolve, frozen
from moby_packager.pyz.archive import Pyz
from test_pyz import TestPyz as Conforming

from moby.contracts.packager import Artifact, Source
from moby.testing.packager import SOURCE, PackagerSuite

Break = Callable[[Source, Path], Artifact]
TestPyz = None  # just here to be asked, not to be collected


def _built(source: Source, out: Path) -> Artifact:
    return Pyz().build(source, out)


def _marked(source: Source, out: Path, mark: object) -> Artifact:
    """Let something of the surroundings slip in."""
    return _built(
        evolve(source, entries=(evolve(source.entries[0], data=repr(mark).encode()), *source.entries[1:])), out
    )


def clock(source: Source, out: Path) -> Artifact:
    return _marked(source, out, int(time.time()) // 86400)


def zone(source: Source, out: Path) -> Artifact:
    return _marked(source, out, time.tzname)


def seed(source: Source, out: Path) -> Artifact:
    return _marked(source, out, hash("seed"))


def place(source: Source, out: Path) -> Artifact:
    return _marked(source, out, str(out))


def user_mask(source: Source, out: Path) -> Artifact:
    (out / "probe").touch()
    mode = (out / "probe").stat().st_mode
    (out / "probe").unlink()
    return _marked(source, out, mode)


def imported(source: Source, out: Path) -> Artifact:
    return _marked(source, out, "xml.dom.minidom" in sys.modules)


def locale_seen(source: Source, out: Path) -> Artifact:
    return _marked(source, out, os.environ["LC_ALL"])


def miscounted(source: Source, out: Path) -> Artifact:
    made = _built(source, out)
    return evolve(made, sizes_bytes={**made.sizes_bytes, "(format)": made.sizes_bytes["(format)"] + 1})


def strange_owner(source: Source, out: Path) -> Artifact:
    made = _built(source, out)
    sizes = dict(made.sizes_bytes)
    return evolve(made, sizes_bytes={**sizes, "somebody": sizes.pop("(format)"), "(format)": 0})


def lumped(source: Source, out: Path) -> Artifact:
    made = _built(source, out)
    return evolve(made, sizes_bytes={"(format)": sum(made.sizes_bytes.values())})


def unlisted(source: Source, out: Path) -> Artifact:
    (out / f"{source.name}.log").write_text("built")
    return _built(source, out)


def nameless(source: Source, out: Path) -> Artifact:
    return _built(evolve(source, name="out"), out)


def stray(source: Source, out: Path) -> Artifact:
    Path("build.log").write_text("built")
    return _built(source, out)


def lossy(source: Source, out: Path) -> Artifact:
    return _built(evolve(source, entries=tuple(each for each in source.entries if "words" not in each.path)), out)


def careless(source: Source, out: Path) -> Artifact:
    entries = tuple(evolve(each, path=each.path.replace(".so", ".bin")) for each in source.entries)
    return _built(evolve(source, entries=entries), out)


def divided(source: Source, out: Path) -> Artifact:
    return _built(source, out / str(1 // 0))


def unrunnable(source: Source, out: Path) -> Artifact:
    """Leave it to the umask whether what was made may be run."""
    made = _built(source, out)
    (out / "probe").touch()
    strict = (out / "probe").stat().st_mode & 0o077 == 0
    (out / "probe").unlink()
    (out / made.files[0]).chmod(0o644 if strict else 0o755)
    return made


def scratch(source: Source, out: Path) -> Artifact:
    tempfile.mkstemp()
    return _built(source, out)


@frozen
class Mutant:
    broken: Break

    def build(self, source: Source, out: Path) -> Artifact:
        return self.broken(source, out)


@frozen
class Moody(Mutant):
    def fingerprint(self) -> str:
        return str(hash("mood"))


def test_the_suite_fails_a_fingerprint_that_changes(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the fingerprint of one host differs"):
        Conforming().test_same_bytes_whatever_surrounds_the_build(Moody(_built), tmp_path)


SAME = "test_same_bytes_whatever_surrounds_the_build"


DIFFER = "built twice, these differ"


@pytest.mark.parametrize(
    ("broken", "test", "message"),
    [
        pytest.param(clock, SAME, DIFFER, id="reads-the-clock"),
        pytest.param(zone, SAME, DIFFER, id="reads-the-time-zone"),
        pytest.param(seed, SAME, DIFFER, id="follows-the-hash-seed"),
        pytest.param(place, SAME, DIFFER, id="names-its-folder"),
        pytest.param(user_mask, SAME, DIFFER, id="follows-the-umask"),
        pytest.param(imported, SAME, DIFFER, id="follows-what-is-imported"),
        pytest.param(locale_seen, SAME, DIFFER, id="follows-the-locale"),
        pytest.param(unrunnable, SAME, "whether it may be run differs", id="follows-the-umask-in-modes"),
        pytest.param(scratch, "test_writes_nowhere_else", "tmp", id="leaves-temporary-files"),
        pytest.param(miscounted, "test_sizes_add_up", "bytes don't add up", id="miscounts"),
        pytest.param(strange_owner, "test_sizes_add_up", "owners that brought nothing", id="makes-up-an-owner"),
        pytest.param(lumped, "test_growth_is_its_owners", "counted as its owner's", id="counts-all-as-the-format"),
        pytest.param(unlisted, "test_names_its_files", "aren't listed", id="leaves-an-unlisted-file"),
        pytest.param(nameless, "test_names_its_files", "begin with", id="ignores-the-name"),
        pytest.param(stray, "test_writes_nowhere_else", "build.log", id="writes-elsewhere"),
        pytest.param(lossy, "test_starts", "sample.words", id="loses-a-file"),
        pytest.param(careless, "test_native_modules", "DID NOT RAISE", id="takes-native-modules"),
    ],
)
def test_the_suite_fails_a_mutant(broken: Break, test: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, Failed), match=message):
        getattr(Conforming(), test)(Mutant(broken), tmp_path)


def test_the_suite_shows_why_a_build_failed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"the build failed:[^$]*ZeroDivisionError"):
        Conforming().test_sizes_add_up(Mutant(divided), tmp_path)


@pytest.mark.parametrize("what", [pytest.param("packager", id="packager"), pytest.param("start", id="start")])
def test_the_suite_says_what_a_subclass_brings(what: str, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="a subclass"):
        if what == "start":
            PackagerSuite().start(tmp_path, _built(SOURCE, tmp_path))
        else:
            PackagerSuite.packager.__wrapped__(PackagerSuite())
