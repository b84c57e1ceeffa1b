"""A folder that is replaced as a whole or not at all."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from moby.distribution import output
from moby.errors import Conflict, HostUnfit

MARK = "0123456789abcdef"


def fill(folder: Path, text: str) -> None:
    with output.replacing(folder) as fresh:
        (fresh / "deep").mkdir()
        (fresh / "deep" / "file").write_text(text)
        output.write_sums(fresh)


def state(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "dist" / "name"
    fill(folder, "good")
    return folder


def test_the_new_takes_the_place_of_the_old(good: Path) -> None:
    before = good.stat().st_ino
    fill(good, "better")
    assert state(good)["deep/file"] == "better"
    assert good.stat().st_ino != before
    assert names(good.parent) == ["name"]


def test_where_names_cannot_be_traded(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "exchange", lambda _one, _other: False)
    fill(good, "better")
    assert state(good)["deep/file"] == "better"
    assert names(good.parent) == ["name"]


def test_the_old_comes_back_where_the_new_cannot_take_its_place(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "exchange", lambda _one, _other: False)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == good and os.path.lexists(good) is False and not self.name.endswith(".old"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(HostUnfit, match="No space left on device"):
        fill(good, "better")
    assert state(good)["deep/file"] == "good"
    assert names(good.parent) == ["name"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyboardInterrupt(), id="interrupt"),
        pytest.param(SystemExit(143), id="signal"),
        pytest.param(ValueError("bug"), id="bug"),
        pytest.param(FileNotFoundError(errno.ENOENT, "no tool"), id="not-the-file-systems-fault"),
    ],
)
def test_whatever_is_raised_the_old_stays(good: Path, error: BaseException) -> None:
    before = state(good)
    with pytest.raises(type(error)), output.replacing(good) as fresh:
        (fresh / "half").write_text("half")
        raise error
    assert state(good) == before
    assert names(good.parent) == ["name"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        pytest.param(errno.ENOSPC, "make room there, or name another folder with -o DIR", id="full"),
        pytest.param(errno.EDQUOT, "make room in your quota", id="quota"),
        pytest.param(errno.EFBIG, "ulimit -f", id="file-too-big"),
        pytest.param(errno.ENAMETOOLONG, "give the assembly a shorter name", id="name-too-long"),
        pytest.param(errno.EROFS, "name another folder with -o DIR", id="read-only"),
    ],
)
def test_what_the_file_system_refuses_is_the_hosts_fault(good: Path, number: int, hint: str) -> None:
    with pytest.raises(HostUnfit) as caught, output.replacing(good) as fresh:
        raise OSError(number, os.strerror(number), str(fresh / "big"))
    assert caught.value.message == f"can't write {good}: {os.strerror(number)}"
    assert hint in caught.value.hint
    assert state(good)["deep/file"] == "good"


def test_a_folder_that_may_not_be_written(unprivileged) -> None:
    def attempt(folder: Path) -> None:
        (folder / "closed").mkdir(mode=0o500)
        with pytest.raises(HostUnfit, match=r"can't write .*: Permission denied"):
            fill(folder / "closed" / "name", "x")

    unprivileged(attempt)


@pytest.mark.parametrize("place", ["notes.txt", "deep/notes.txt", ".hidden"])
def test_files_of_others_are_left_alone(good: Path, place: str) -> None:
    (good / place).write_text("mine")
    with pytest.raises(Conflict, match=f"holds {place}, which assembling did not put there\n  fix: move it"):
        fill(good, "better")
    assert state(good)["deep/file"] == "good"
    assert state(good)[place] == "mine"


def test_several_files_of_others_are_counted(good: Path) -> None:
    for name in "abc":
        (good / name).write_text("mine")
    with pytest.raises(Conflict, match="holds a and 2 more"):
        fill(good, "better")


@pytest.mark.parametrize("kind", ["file", "link", "broken-link"])
def test_what_is_in_the_way(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "name"
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path if kind == "link" else "nowhere")
    with pytest.raises(Conflict, match="is in the way: it is no folder"):
        fill(path, "x")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    fill(tmp_path / "name", "x")
    assert state(tmp_path / "name")["deep/file"] == "x"


def test_what_a_killed_process_left_is_swept(good: Path) -> None:
    for name in (f".name.{MARK}", f".name.{MARK}.old"):
        (good.parent / name).mkdir()
        (good.parent / name / "half").write_text("half")
    for mine in (".name.mine", f".name.{MARK}x", ".name", f".other.{MARK}"):
        (good.parent / mine).mkdir()
    fill(good, "better")
    assert names(good.parent) == sorted(["name", ".name.mine", f".name.{MARK}x", ".name", f".other.{MARK}"])


def test_what_a_live_process_builds_is_not_swept(good: Path) -> None:
    other = good.parent / f".name.{MARK}"
    other.mkdir()
    held = os.open(other, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    fill(good, "better")
    os.close(held)
    assert other.is_dir()


def test_an_old_folder_that_a_killed_process_put_aside_comes_back(good: Path) -> None:
    good.rename(good.parent / f".name.{MARK}.old")
    with pytest.raises(ValueError, match="bug"), output.replacing(good):
        raise ValueError("bug")
    assert state(good)["deep/file"] == "good"


def test_two_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "dist" / "name"
    with output.replacing(folder) as one, output.replacing(folder) as other:
        for text, fresh in (("one", one), ("other", other)):
            (fresh / "file").write_text(text)
            output.write_sums(fresh)
    assert state(folder)["file"] == "one"  # the last to end
    assert output.is_whole(folder)
    assert names(tmp_path / "dist") == ["name"]


def test_whole(good: Path, tmp_path: Path) -> None:
    assert output.is_whole(good)
    assert not output.is_whole(tmp_path / "nothing")
    (good / "more").touch()
    assert not output.is_whole(good)
    (good / "more").unlink()
    (good / "deep" / "file").write_text("changed")
    assert not output.is_whole(good)
    (good / "deep" / "file").unlink()
    assert not output.is_whole(good)


@pytest.mark.parametrize("sums", [b"\xff\xfe", b"no sums at all", b""])
def test_sums_that_are_none(good: Path, sums: bytes) -> None:
    (good / output.SUMS).write_bytes(sums)
    assert not output.is_whole(good)
