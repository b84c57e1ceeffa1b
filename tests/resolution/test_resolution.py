"""Every problem on the way from a file to its plans is told at once, by line."""

from pathlib import Path

import pytest

from moby.errors import Invalid, NotFound
from moby.resolution import resolve_file

BROKEN = """moby: 1
name: bad
bogus: 1
components:
  runtime: nativ
  command: [run, image]
distribution: {formats: [pyx]}
"""


def test_problems_of_reading_engine_and_formats_come_together(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BROKEN)
    with pytest.raises(Invalid) as raised:
        resolve_file(str(file))
    told = [(each.where.line if each.where else 0, each.message.split(" (")[0]) for each in raised.value.problems]
    assert [line for line, _ in told] == [3, 5, 7]
    assert "unknown key 'bogus'" in told[0][1]
    assert "no runtime 'nativ'" in told[1][1]
    assert "pyx" in told[2][1]


def test_formats_given_take_the_place_of_the_manifests(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="--format"):
        resolve_file("quickstart", formats=("pyx",))
    found = resolve_file("quickstart", formats=("pyz", "pyz"))
    assert [each.key for each in found.build.instances] == ["packager/pyz"]


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("{")
    with pytest.raises(Invalid, match=r"bad\.yaml:2:1"):
        resolve_file(str(file))


def test_facts_file_that_is_not_there_is_no_problem_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no facts file"):
        resolve_file("quickstart", target=str(tmp_path / "none.json"))
    file = tmp_path / "bad.yaml"
    file.write_text(BROKEN)
    with pytest.raises(Invalid, match="bogus"):
        resolve_file(str(file), target=str(tmp_path / "none.json"))
