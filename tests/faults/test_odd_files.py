"""Files that aren't what a verb of `moby` was told that they are, and a cache that somebody damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
CONTENTS = {
    "empty": b"",
    "bytes": bytes(range(256)) * 20,
    "nested": b"[" * 100_000,
    "list": b"[]",
    "map": b"{}",
    "number": b"9" * 5000,
}
VERBS = [
    pytest.param(["diff", "quickstart"], "x.lock.json", id="diff-lock"),
    pytest.param(["diff", "quickstart"], "x.pyz", id="diff-pyz"),
    pytest.param(["reproduce"], "x.pyz", id="reproduce"),
    pytest.param(["doctor", "quickstart", "--target"], "x.json", id="doctor"),
    pytest.param(["check", "quickstart", "--target"], "x.json", id="check"),
]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("arguments", "name"), VERBS)
def test_files(moby: Run, folder: Path, arguments: list[str], name: str, content: str) -> None:
    (folder / "here" / name).write_bytes(CONTENTS[content])
    if "--target" in arguments and content == "map":
        return  # facts that tell nothing are facts
    done = moby(*arguments, name, code=1)
    assert name in done.stderr


@pytest.mark.parametrize(("arguments", "name"), VERBS)
@pytest.mark.parametrize("there", ["nothing", "folder"])
def test_no_file(moby: Run, folder: Path, arguments: list[str], name: str, there: str) -> None:
    if there == "folder":
        (folder / "here" / name).mkdir()
    assert "fix: " in moby(*arguments, name, code=1).stderr


@pytest.mark.parametrize("content", CONTENTS)
def test_a_cache_that_is_damaged(moby: Run, folder: Path, content: str) -> None:
    """It is made anew."""
    before = moby("components", "--json").stdout
    for each in (folder / "cache").rglob("*"):
        if each.is_file():
            each.write_bytes(CONTENTS[content])
    assert moby("components", "--json").stdout == before
    assert moby("check", "quickstart").stderr == ""


@pytest.mark.parametrize("place", ["/dev/null", "/proc/x", "/nonexistent/x"])
def test_a_cache_that_cannot_be(moby: Run, place: str) -> None:
    assert "images/layout" in moby("components", cache=place).stdout
