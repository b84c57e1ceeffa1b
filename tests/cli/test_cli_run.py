"""The verb run: what it executes, and from where."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moby import distribution
from moby.distribution import Distribution

Executed = list[str]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Executed:
    """The arguments that the process would have become."""
    arguments: Executed = []
    monkeypatch.setattr(os, "execv", lambda path, argv: arguments.extend(argv))
    return arguments


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, object]:
    """What is asked to be assembled; it comes to a file with just the manifest's name in it."""
    said: dict[str, object] = {}

    def assemble(file: str, out: Path, **options: object) -> Distribution:
        said.update(file=file, out=out, **options)
        (out / "e").mkdir(parents=True, exist_ok=True)
        fresh = out / "e/fresh"
        fresh.write_text(file)
        fresh.replace(out / "e/e.pyz")
        return Distribution("e", out / "e", (), {}, lock=None)  # type: ignore[arg-type]

    monkeypatch.setattr(distribution, "assemble", assemble)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return said


def test_serve_unless_told(moby, executed: Executed) -> None:
    assert moby("run", "e.yaml").code == 0
    interpreter, engine, *arguments = executed
    assert (interpreter, arguments) == (sys.executable, ["serve"])
    assert Path(engine).read_text() == "e.yaml"


def test_all_after_the_file_is_the_engines(moby, executed: Executed, asked: dict[str, object]) -> None:
    moby("run", "--set", "name=x", "--root", "r", "e.yaml", "run", "--set", "a", "--help")
    assert executed[2:] == ["--root", "r", "run", "--set", "a", "--help"]
    assert (asked["sets"], asked["formats"]) == (("name=x",), ("pyz",))


def test_what_leads_the_engines_words(moby, executed: Executed) -> None:
    moby("run", "e.yaml", "--", "ps", "--", "-a")
    assert executed[2:] == ["ps", "--", "-a"]
    moby("run", "e.yaml", "--root", "r", "ps")
    assert executed[-3:] == ["--root", "r", "ps"]
    done = moby("run", "e.yaml", "--set", "name=x")
    assert (done.code, "--set is behind FILE" in done.err) == (2, True)


def test_another_run_of_the_same_name_takes_nothing_away(moby, executed: Executed) -> None:
    moby("run", "one.yaml")
    moby("run", "two.yaml")
    moby("run", "one.yaml")
    first, second, third = executed[1::3]
    assert first == third
    assert (Path(first).read_text(), Path(second).read_text()) == ("one.yaml", "two.yaml")


def test_without_a_cache_folder_named_it_is_in_the_home(
    moby: Callable[..., object], executed: Executed, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    moby("run", "e.yaml")
    assert Path(executed[1]).is_relative_to(folder / ".cache/moby/run")


def test_a_cache_that_cannot_be_written(moby, executed: Executed, folder: Path) -> None:
    (folder / "cache/moby/run").mkdir(parents=True)
    (folder / "cache/moby/run/.started").write_text("")
    done = moby("run", "e.yaml")
    assert (done.code, executed) == (3, [])
    assert done.err.startswith(f"can't write {folder}/cache/moby/run/.started/")
    assert done.err.endswith("fix: set XDG_CACHE_HOME to another folder\n")
