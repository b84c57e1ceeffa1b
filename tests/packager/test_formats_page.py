"""The page of formats names every packager that is shipped, what it is made of, and its options."""

import re
from pathlib import Path

import pytest

from moby import registry

PAGE = Path(__file__).resolve().parents[2] / "docs/formats.md"
SHIPPED = {
    facts.name: facts
    for facts in registry.discover().of_kind("packager")
    if facts.distribution.startswith("moby-framework ")
}


def rows() -> dict[str, list[str]]:
    """Return the page's table by format."""
    lines = [line.strip("| ").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    table = [[cell.strip() for cell in line] for line in lines]
    return {row[0].strip("`"): row for row in table if len(row) >= 5}


def test_every_format_has_a_row_and_a_readme() -> None:
    assert set(rows()) == set(SHIPPED)
    folder = PAGE.parents[1] / "components/moby_packager"
    assert all((folder / name / "README.md").is_file() for name in SHIPPED)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_row_tells_what_the_packager_says_of_itself(name: str) -> None:
    row = rows()[name]
    assert re.findall(r"`([^`]+)`", row[2]) == ([SHIPPED[name].takes] if SHIPPED[name].takes else [])
    options = re.findall(r"`([^`]+)`", row[5]) if len(row) > 5 else []
    assert sorted(options) == sorted(option.name for option in SHIPPED[name].options)
