"""Broken manifests as data: what is told, that it is minimal, and that every edit offered works when typed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import synthetic
import yaml

from moby.component import Facts
from moby.errors import Invalid, Problem
from moby.manifest import Assembly
from moby.registry import Catalog
from moby.resolver import resolve
from moby.resolver.conflict import Case, involved
from moby.resolver.explanation import problems
from moby.resolver.index import Index
from moby.resolver.selection import select

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.yaml"))
_KINDS = re.compile(r"kinds: [a-z-]+(, [a-z-]+)*( and \d+ more)?")
"""The framework's own kinds, of which there are ever more."""
cases = pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem, marks=[pytest.mark.slow] * (number % 4 > 0))  # for their number
        for number, file in enumerate(CORPUS)
    ],
)


class Broken:
    """One file of the corpus, read."""

    def __init__(self, file: Path, folder: Path) -> None:
        said = yaml.safe_load(file.read_text())
        self.text: str = said["manifest"]
        self.expected: list[dict[str, Any]] = said["expect"]
        self.target = said.get("target")
        self.catalog: Catalog = synthetic.catalog(said["catalog"])
        self.assembly: Assembly = synthetic.read(self.text, folder)
        self.folder = folder

    def problems(self, assembly: Assembly | None = None) -> tuple[Problem, ...]:
        try:
            resolve(assembly or self.assembly, self.catalog, target=self.target)
        except Invalid as error:
            return error.problems
        return ()

    def case(self) -> Case:
        return Case(self.assembly, Index.of(self.catalog, self.target))

    def resolves(self, text: str) -> bool:
        return not self.problems(synthetic.read(text, self.folder))


@pytest.fixture
def broken(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    monkeypatch.chdir(tmp_path)
    return Broken(file, Path())


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 45


@cases
def test_what_is_told(broken: Broken) -> None:
    told = [
        {
            "message": _KINDS.sub("kinds: ALL", each.message),
            "where": f"{each.where.line}:{each.where.column}" if each.where else None,
            "because": list(each.because),
            "conflict": list(each.conflict),
            "fixes": list(each.fixes),
        }
        for each in broken.problems()
    ]
    assert told == broken.expected


@cases
def test_a_conflict_is_minimal(broken: Broken) -> None:
    case = broken.case()
    for problem in broken.problems():
        assert case.only(problem.conflict).wrong()
        for item in problem.conflict:
            rest = [each for each in problem.conflict if each != item]
            assert not case.only(rest).wrong(), f"without {item} it is still wrong"


@cases
def test_without_any_item_of_its_chain_a_problem_is_gone(broken: Broken) -> None:
    case = broken.case()
    for finding in select(case.assembly, case.index).findings:
        items = involved(case, finding)
        assert finding.identity in case.only(items).wrong()
        for item in items:
            assert finding.identity not in case.only(each for each in items if each != item).wrong()


@cases
def test_edits_work_when_typed(broken: Broken) -> None:
    before = broken.problems()
    told = {each.message for each in before}
    for problem in before:
        for fix in problem.fixes:
            if fix.startswith("resolve for any host"):
                resolve(broken.assembly, broken.catalog)
                continue
            text = typed(fix, broken.text)
            after = broken.problems(synthetic.read(text, broken.folder))
            left = {each.message for each in after}
            assert problem.message not in left, f"{fix}\n{text}"
            assert len(after) < len(before), f"{fix}\n{text}\n{left - told}"


@cases
def test_an_edit_is_offered_where_one_suffices(broken: Broken) -> None:
    if any(not problem.fixes for problem in broken.problems()):
        data = synthetic.loaded(broken.text)
        sufficient = [
            each for each in synthetic.by_hand(data, broken.catalog) if broken.resolves(synthetic.written(each))
        ]
        assert not sufficient, f"this would do: {sufficient[0]}"


@cases
def test_what_is_told_depends_on_nothing_but_the_input(broken: Broken) -> None:
    index = Index.of(broken.catalog, broken.target)
    turned = Catalog(dict(reversed(broken.catalog.components.items())), broken.catalog.broken)
    selection = select(broken.assembly, index)
    assert problems(Case(broken.assembly, index), selection) == broken.problems()
    broken.catalog = turned
    assert problems(Case(broken.assembly, index), selection) == broken.problems()


# Typing what an edit says, with nothing but its text and the manifest's --------------------------------------------

KEY = r"(?P<kind>[\w-]+)/(?P<name>[\w-]+)"
AT = r"(?: at a\.yaml:(?P<line>\d+):(?P<column>\d+)| of a\.yaml)?"


def typed(fix: str, text: str) -> str:
    """Do what an edit says to the text of a manifest."""
    instead = re.fullmatch(rf"write `(?P<new>.+)` instead of `(?P<old>.+)`{AT}(?P<plain>, without.*)?", fix)
    if instead and not instead["plain"] and not instead["old"].endswith((": null",)) and ": " not in instead["old"]:
        lines = text.splitlines()
        line, start = int(instead["line"]) - 1, int(instead["column"]) - 1
        assert lines[line][start:].startswith(instead["old"]), f"{instead['old']} isn't there: {lines[line][start:]}"
        lines[line] = lines[line][:start] + instead["new"] + lines[line][start + len(instead["old"]) :]
        return "\n".join(lines) + "\n"
    data = synthetic.loaded(text)
    components = data["components"]
    if instead and instead["plain"]:
        part = found(data, text, instead)
        new = {"use": instead["new"]} | {key: part[key] for key in ("as", "default", "policy") if key in part}
        part.clear()
        part.update(new)
    elif instead and (old := yaml.safe_load(instead["old"])):
        ((key, was),) = old.items()
        ((new_key, value),) = yaml.safe_load(instead["new"]).items()
        if key in components and was is None:
            del components[key]
            components[new_key] = value if value is None else [{"use": value}]
        else:
            found(data, text, instead)[key] = value
    else:
        _typed_data(fix, data, text)
    return synthetic.written(data)


def _typed_data(fix: str, data: dict[str, Any], text: str) -> None:
    components = data["components"]

    def part(match: re.Match[str]) -> dict[str, Any]:
        (one,) = (each for each in components[match["kind"]] if each.get("as", each["use"]) == match["name"])
        said: dict[str, Any] = one
        return said

    if match := re.fullmatch(rf"drop {KEY}{AT}", fix):
        components[match["kind"]].remove(part(match))
    elif match := re.fullmatch(rf"drop `(?P<kind>[\w-]+)(: null)?`{AT}", fix):
        del components[match["kind"]]
    elif match := re.fullmatch(rf"keep just `(?P<name>.+)` of `(?P<kind>.+)`{AT}", fix):
        components[match["kind"]] = [part(match)]
    elif match := re.fullmatch(rf"drop `(?P<key>\w+): .*` of {KEY}{AT}", fix):
        del part(match)[match["key"]]
    elif match := re.fullmatch(rf"drop option `(?P<option>.+)` of {KEY}{AT}", fix):
        del part(match)["config"][match["option"]]
    elif match := re.fullmatch(rf"rename option `(?P<old>.+)` of {KEY} to `(?P<new>.+)`{AT}", fix):
        config = part(match)["config"]
        config[match["new"]] = config.pop(match["old"])
    elif match := re.fullmatch(rf"add `(?P<said>[\w-]+: [\w-]+)` to `components`{AT}", fix):
        components |= {kind: [{"use": use}] for kind, use in yaml.safe_load(match["said"]).items()}
    elif match := re.fullmatch(rf"add `(?P<said>[\w-]+: [\w-]+)` to {KEY}{AT}", fix):
        part(match).update(yaml.safe_load(match["said"]))
    elif match := re.fullmatch(rf"add `(?P<said>.+)` to `(?P<kind>.+)`{AT}", fix):
        said = yaml.safe_load(match["said"])
        components[match["kind"]].append({"use": said} if isinstance(said, str) else said)
    elif match := re.fullmatch(rf"move `default: true` from (?P<from>[\w/-]+) to {KEY}{AT}", fix):
        for each in components[match["kind"]]:
            each.pop("default", None)
        part(match)["default"] = True
    elif match := re.fullmatch(rf"write `(?P<option>\w+): (?P<value>.+)`{AT}", fix):
        found(data, text, match)["config"][match["option"]] = yaml.safe_load(match["value"])
    else:
        pytest.fail(f"who could type this? {fix}")


def found(data: dict[str, Any], text: str, match: re.Match[str]) -> dict[str, Any]:
    """Return the part that stands at a position, as the line of the text tells it."""
    upto = text.splitlines()[: int(match["line"])]
    upto[-1] = upto[-1][: int(match["column"]) - 1]
    before = "\n".join(upto)
    kind = re.findall(r"^  ([\w-]+):", before, re.MULTILINE)[-1]
    nth = re.split(r"^  [\w-]+:", before, flags=re.MULTILINE)[-1].count("use:")
    part: dict[str, Any] = data["components"][kind][max(nth - 1, 0)]
    return part


def test_facts_of_the_corpus_are_as_discovery_makes_them() -> None:
    for file in CORPUS:
        for facts in synthetic.catalog(yaml.safe_load(file.read_text())["catalog"]).components.values():
            assert isinstance(facts, Facts)
            json.dumps([option.schema for option in facts.options])
