"""The host that an assembly is resolved for."""

from pathlib import Path

import pytest

from moby.errors import Invalid, MobyError, NotFound
from moby.target import target_facts


@pytest.mark.parametrize("target", ["", "any"])
def test_any_host_has_no_facts(target: str) -> None:
    assert target_facts(target) is None


def test_this_host_has_facts() -> None:
    assert target_facts("host")


def test_facts_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"kernel": {}}')
    assert target_facts(str(tmp_path / "facts.json")) == {"kernel": {}}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        pytest.param(None, NotFound, "no facts file at .*No such file", id="no-file"),
        pytest.param("{", Invalid, "not JSON", id="no-json"),
        pytest.param("[]", Invalid, "not a JSON object", id="a-list"),
    ],
)
def test_what_is_no_facts_file(tmp_path: Path, text: str | None, error: type[MobyError], message: str) -> None:
    if text is not None:
        (tmp_path / "facts.json").write_text(text)
    with pytest.raises(error, match=message):
        target_facts(str(tmp_path / "facts.json"))
