"""docs/escapes.md and the tests of escapes name the same bugs and the same tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "tests/escapes"
BUG = re.compile(r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}")
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
OTHERS = (
    "tests/runtime/test_native_attacks.py",
    "tests/runtime/test_native_images.py",
    "tests/networks/test_firewall.py",
    "tests/networks/test_firewall_table.py",
)

Pair = tuple[str, str]


def rows(text: str) -> Iterator[tuple[set[str], set[str]]]:
    """Each row's bugs and tests."""
    for line in text.splitlines():
        if line.startswith("|") and (bugs := set(BUG.findall(line.split("|")[1]))):
            tests = TEST.findall(line.strip("|").rpartition("|")[2])
            yield bugs, {f"{path if '/' in path else f'{FOLDER}/{path}'}::{name}" for path, name in tests}


def attempted() -> Iterator[Pair]:
    """Each bug with each test whose docstring names it."""
    for path in (*sorted((ROOT / FOLDER).glob("test_*.py")), *(ROOT / each for each in OTHERS)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for bug in BUG.findall(ast.get_docstring(node) or ""):
                    yield bug, f"{path.relative_to(ROOT)}::{node.name}"


def test_the_list_and_the_tests_agree() -> None:
    listed = list(rows((ROOT / "docs/escapes.md").read_text(encoding="utf-8")))
    found = set(attempted())
    for bugs, tests in listed:
        named = {(bug, test) for bug, test in found if bug in bugs and test in tests}
        assert bugs == {bug for bug, _ in named}, f"no test of the row names {bugs - {bug for bug, _ in named}}"
        assert tests == {test for _, test in named}, f"of {bugs} is none named by {tests - {test for _, test in named}}"
    assert found == {pair for pair in found if any(pair[0] in bugs and pair[1] in tests for bugs, tests in listed)}
    assert len({bug for bug, _ in found}) >= 25


def test_no_bug_is_listed_twice() -> None:
    listed = rows((ROOT / "docs/escapes.md").read_text(encoding="utf-8"))
    bugs = [bug for names, _ in listed for bug in names]
    assert sorted(bugs) == sorted(set(bugs))
