"""The engine's own log: text, JSON, and the journal's."""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from moby.contracts.requests import REQUEST
from moby.surroundings import JOURNAL, JSON, Roots, Surroundings, TextLog, is_journal


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    log = TextLog("k/a", "info")
    log.debug("unseen")
    log.warning("two\nlines", container="c1", n=3)
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning k/a: two\\nlines container="c1" n=3\n', capsys.readouterr().err
    )


@pytest.mark.parametrize("form", ["text", JSON])
def test_passwords_of_urls_are_masked(capsys: pytest.CaptureFixture[str], form: str) -> None:
    log = TextLog("k/a", "info", form)
    log.info("GET http://me:hunter2@host/x", error='Get "https://me:a:hunter2@h2@h": no', remote="git@host me@[::1]:80")
    said = capsys.readouterr().err
    assert "hunter2" not in said
    assert "GET http://me:xxxxx@host/x" in said
    assert "https://me:xxxxx@h" in said
    assert "git@host me@[::1]:80" in said


def test_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    around = Surroundings(Roots.under(tmp_path, "e"), log_level="debug", log_form=JSON)
    around.log("k/a").error("failed", request="r1", path=Path("/x"), level="mine")
    data = json.loads(capsys.readouterr().err)
    assert data.pop("time").endswith("Z")
    wanted = {"level": "error", "component": "k/a", "message": "failed", "request": "r1", "path": "/x"}
    assert data == wanted, "what the log says of itself wins over fields of the same name"


def test_within_a_request_each_line_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    log = TextLog("k/a", "info")
    token = REQUEST.set("r1")
    log.info("x", container="c1")
    REQUEST.reset(token)
    log.info("y")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith('k/a: x request="r1" container="c1"')
    assert second.endswith("k/a: y")


def test_the_journal_has_times_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("debug", "info", "warning", "error"):
        getattr(TextLog("k/a", "debug", JOURNAL), level)("x")
    assert capsys.readouterr().err.splitlines() == [f"<{number}>k/a: x" for number in (7, 6, 4, 3)]


def test_which_descriptor_is_the_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        found = os.fstat(one.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(one.fileno())
        assert not is_journal(other.fileno())
    assert not is_journal(9999)
