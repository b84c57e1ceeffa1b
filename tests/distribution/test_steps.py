"""Formats built of formats: each once for the same input, and anew when anything that decides its bytes changes."""

import shutil
from pathlib import Path

import pytest
from attrs import define, evolve, field
from installing import part

from moby.contracts.packager import Artifact, Brought, Entry, Source
from moby.distribution.steps import Steps, default_folder, fingerprints
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.lock import Lock, Pin
from moby.plan import Plan

SOURCE = Source("sample", (Entry("a.py", b"a = 1\n", "moby"), Entry("b.sh", b"", "runtime/x", executable=True)))


@define
class Upper:
    """Makes a file of the entries, and of what it was given."""

    name: str
    host: str = ""
    built: list[str] = field(factory=list)

    def build(self, source: Source, out: Path) -> Artifact:
        self.built.append(self.name)
        given = source.given.path().read_bytes() if source.given else b""
        data = b"".join(entry.data for entry in source.entries).upper() + given + self.host.encode()
        (out / f"sample.{self.name}").write_bytes(data)
        (out / f"sample.{self.name}").chmod(0o755)
        return Artifact((Path(f"sample.{self.name}"),), {"moby": len(data)}, (Brought("glass", "1.0"),))

    def fingerprint(self) -> str:
        return self.host


@define
class Chain:
    """Two packagers, the second of which takes what the first makes, and a folder where what they made is kept."""

    folder: Path
    lock: Lock
    first: Upper = field(factory=lambda: Upper("one"))
    second: Upper = field(factory=lambda: Upper("two"))
    number: int = 0

    def run(self, source: Source = SOURCE) -> tuple[dict[str, bytes], list[str]]:
        """Return the bytes by format, and who had to build."""
        self.first.built.clear()
        self.second.built.clear()
        self.number += 1
        out = self.folder / str(self.number)
        out.mkdir()
        packagers = {"one": self.first, "two": self.second}
        hosts = fingerprints(self.lock.build, packagers)
        made = Steps(self.lock, packagers, hosts, self.folder / "kept").run(source, out)
        for each in made.values():
            assert each.artifact.brought == (Brought("glass", "1.0"),)
            assert (each.folder / each.artifact.files[0]).stat().st_mode & 0o777 == 0o755
        read = {name: (each.folder / each.artifact.files[0]).read_bytes() for name, each in made.items()}
        return read, self.first.built + self.second.built


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    build = Plan("sample", (part("packager/one", "one"), evolve(part("packager/two", "two"), takes="packager/one")))
    pins = (Pin("parts", "1.0", "sha256:aa", build=True),)
    return Chain(tmp_path, Lock("sample", "0.1", "3.13", Plan("sample"), build, distributions=pins))


def test_the_same_input_is_built_once(chain: Chain) -> None:
    first, built = chain.run()
    assert first == {"one": b"A = 1\n", "two": b"A = 1\nA = 1\n"}
    assert built == ["one", "two"]
    assert chain.run() == (first, [])


def test_a_changed_file_has_all_built(chain: Chain) -> None:
    chain.run()
    changed = evolve(SOURCE, entries=(evolve(SOURCE.entries[0], data=b"a = 2\n"), SOURCE.entries[1]))
    assert chain.run(changed) == ({"one": b"A = 2\n", "two": b"A = 2\nA = 2\n"}, ["one", "two"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda e: evolve(e, owner="runtime/x"), id="owner"),
        pytest.param(lambda e: evolve(e, path="c.py"), id="path"),
        pytest.param(lambda e: evolve(e, executable=True), id="executable"),
    ],
)
def test_what_a_file_is_counts(chain: Chain, change: object) -> None:
    chain.run()
    entries = (change(SOURCE.entries[0]), SOURCE.entries[1])  # type: ignore[operator]
    _, built = chain.run(evolve(SOURCE, entries=entries))
    assert built == ["one", "two"]


def test_another_host_has_just_the_part_built_that_it_matters_to(chain: Chain) -> None:
    chain.run()
    chain.second = Upper("two", host="gcc 13")
    found, built = chain.run()
    assert (found["two"], built) == (b"A = 1\nA = 1\ngcc 13", ["two"])


def test_options_and_the_parts_code_count(chain: Chain) -> None:
    chain.run()
    one, two = chain.lock.build.instances
    chain.lock = evolve(chain.lock, build=Plan("sample", (one, evolve(two, config={"level": 3}))))
    assert chain.run()[1] == ["two"]
    chain.lock = evolve(chain.lock, distributions=(Pin("parts", "1.0", "sha256:bb", build=True),))
    assert chain.run()[1] == ["one", "two"]


@pytest.mark.parametrize("name", ["sample.one", "artifact.json"])
@pytest.mark.parametrize("data", [b"", b"rotten", b"{}"])
def test_what_was_kept_and_is_damaged_is_built_again(chain: Chain, name: str, data: bytes) -> None:
    first, _ = chain.run()
    for path in (chain.folder / "kept").glob(f"*/{name}"):
        path.write_bytes(data)
    found, built = chain.run()
    assert found == first
    assert "one" in built
    assert chain.run() == (first, [])


def test_a_cache_that_cannot_be_written_is_none(chain: Chain) -> None:
    (chain.folder / "kept").write_text("a file")
    assert chain.run()[1] == ["one", "two"]
    assert chain.run()[1] == ["one", "two"]


def test_what_is_kept_is_bounded(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moby.distribution.steps._KEPT_BYTES", 4000)
    for number in range(30):
        chain.run(evolve(SOURCE, name=f"sample-{number}"))
    kept = sum(path.stat().st_size for path in (chain.folder / "kept").rglob("*") if path.is_file())
    assert kept < 6000


def test_errors_name_the_packager(chain: Chain, tmp_path: Path) -> None:
    for error in (HostUnfit("no gcc", hint="install it"), Unsupported("no room for names")):

        def build(source: Source, out: Path, error: Exception = error) -> Artifact:
            raise error

        wrong = type("Wrong", (), {"build": staticmethod(build)})()
        with pytest.raises(type(error), match=r"packager/one: no (gcc|room)"):
            Steps(chain.lock, {"one": wrong, "two": wrong}).run(SOURCE, tmp_path)
        shutil.rmtree(tmp_path / ".one")


def test_a_wrong_count_is_refused(chain: Chain, tmp_path: Path) -> None:
    def build(source: Source, out: Path) -> Artifact:
        (out / "sample.one").write_bytes(b"four")
        return Artifact((Path("sample.one"),), {"moby": 3})

    wrong = type("Wrong", (), {"build": staticmethod(build)})()
    with pytest.raises(Invalid, match="packager/one lists other sizes than the 4 bytes that it made"):
        Steps(chain.lock, {"one": wrong}).run(SOURCE, tmp_path)


def test_where_what_was_made_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/moby/steps")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path("/home/me/.cache/moby/steps")
