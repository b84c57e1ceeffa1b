"""Digests of files, remembered for as long as the files are the same by their times, size and inode."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from moby.host import digests


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's file, of which this process has read nothing yet; files are settled as soon as they are written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_remembered", {})
    monkeypatch.setattr(digests, "_fresh", set())
    monkeypatch.setattr(digests, "_SETTLED_NS", -(10**18))
    return tmp_path / "cache/moby/digests.json"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read, by its end."""
    found: list[str] = []
    whole = hashlib.file_digest

    def noted(stream: object, name: str) -> object:
        found.append(Path(stream.name).name)  # type: ignore[attr-defined]
        return whole(stream, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", noted)
    return found


def of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def forget() -> None:
    """As another process begins."""
    digests._remembered.clear()


def tick(path: Path) -> None:
    """Wait until what changes from now on has another time than a file: file systems' clocks may go by milliseconds."""
    clock = path.with_name("clock")
    while True:
        clock.touch()
        if clock.stat().st_ctime_ns > path.stat().st_ctime_ns:
            return


def test_a_file_is_read_once_for_all_processes(cache: Path, read: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    assert [digests.digest(tmp_path / "a") for _ in range(2)] == [of(b"one")] * 2
    digests.keep()
    forget()
    assert digests.digest(tmp_path / "a") == of(b"one")
    tick(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")  # of which the kernel says that the inode has changed
    assert digests.digest(tmp_path / "b") == of(b"one")
    assert read == ["a", "b"]
    assert cache.is_file()


def test_what_changed_is_read_again(cache: Path, read: list[str], tmp_path: Path) -> None:
    """Also where somebody gives a file of the same size its old time."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    digests.digest(path)
    before = path.stat()
    tick(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert digests.digest(path) == of(b"two")
    (tmp_path / "new").write_bytes(b"six")
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").rename(path)
    assert digests.digest(path) == of(b"six")
    assert read == ["a"] * 3


def test_what_changed_just_now_is_not_remembered(
    cache: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", 10**18)
    (tmp_path / "a").write_bytes(b"one")
    for _ in range(2):
        assert digests.digest(tmp_path / "a") == of(b"one")
    digests.keep()
    assert read == ["a", "a"]
    assert not cache.exists()


def test_what_has_times_that_were_made_up_is_not_remembered(
    cache: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In images that say that they were made at one time, files have the same times, size and inode."""
    path = tmp_path / "a"
    built_ns = 1_700_000_000 * 10**9
    monkeypatch.setattr(digests, "_stamp", lambda _: ("7:1", [3, built_ns, built_ns]))
    for data in (b"one", b"two"):
        path.write_bytes(data)
        assert digests.digest(path) == of(data)
    digests.keep()
    assert not cache.exists()


def test_what_changes_while_it_is_read_is_not_remembered(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    whole = hashlib.file_digest

    def changing(stream: object, name: str) -> object:
        found = whole(stream, name)  # type: ignore[arg-type]
        path.write_bytes(b"longer")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", changing)
        assert digests.digest(path) == of(b"one")
    assert digests.digest(path) == of(b"longer")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "digests": {"1:2": 3}}',
        '{"format": 1, "digests": {"1:2": [1, 2]}}',
        '{"format": 1, "digests": {"1:2": [[Infinity], ""]}}',
        "[" * 200_000,
    ],
)
def test_a_damaged_cache_is_none(text: str, cache: Path, tmp_path: Path) -> None:
    put(cache, text)
    (tmp_path / "a").write_bytes(b"one")
    assert digests.digest(tmp_path / "a") == of(b"one")
    digests.keep()
    assert len(json.loads(cache.read_text())["digests"]) == 1


def put(cache: Path, text: str, mode: int = 0o600) -> None:
    """Write what another process may have left."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(text)
    cache.chmod(mode)


def test_a_cache_of_another_form_or_of_somebody_else_is_none(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    (key, stamp) = digests._stamp(path.stat())
    for form, mode, wanted in ((1, 0o644, "false"), (2, 0o600, of(b"one")), (1, 0o666, of(b"one")),
                               (1, 0o620, of(b"one"))):  # fmt: skip
        put(cache, json.dumps({"format": form, "digests": {key: [stamp, "false"]}}), mode)
        forget()
        assert digests.digest(path) == wanted
    digests.keep()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    put(cache, json.dumps({"format": 1, "digests": {key: [stamp, "false"]}}))
    forget()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert digests.digest(path) == of(b"one")


def test_a_cache_that_can_t_be_written_is_none(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "a").write_bytes(b"one")
    assert digests.digest(tmp_path / "a") == of(b"one")
    digests.keep()
    assert (tmp_path / "cache").read_text() == "a file"


def test_those_that_were_asked_for_last_are_kept(
    cache: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_MOST", 2)
    for name in "abc":
        (tmp_path / name).write_text(name)
    for name in "abca":
        digests.digest(tmp_path / name)
    digests.keep()
    forget()
    for name in "ac":
        digests.digest(tmp_path / name)
    assert read == ["a", "b", "c"]


def test_a_user_without_a_home_has_no_cache(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    code = (
        "import pathlib, sys\n"
        "def home(*_): raise RuntimeError\n"
        "pathlib.Path.home = home\n"
        "from moby.host import digests\n"
        "digests._SETTLED_NS = -10**18\n"
        "print(digests.digest(sys.argv[1])); digests.keep()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == of(b"one")
