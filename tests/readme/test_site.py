"""The documentation's site: a page for each kind that has all of its contract, and links that all lead somewhere."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from moby import registry
from moby.contracts.kind import kind_of
from moby.scaffold import classes, contract, reference

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site and its sources, built as `make docs` does."""
    out = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs", "--out", out], capture_output=True, text=True, timeout=280, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out


class Page(HTMLParser):
    """The links of a page, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.update(filter(None, (found.get("id"), found.get("name"))))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        self.loads += [str(found[each]) for each in ("src", "href") if found.get(each) and tag != "a"]


def dead(site: Path) -> Iterator[str]:
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, page in pages.items():
        for each in [*page.links, *page.loads]:
            parts = urlsplit(each)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{path.name}: {each}"
            elif parts.fragment and target in pages and parts.fragment not in pages[target].anchors:
                yield f"{path.name}: {each} (anchor)"


def test_every_link_leads_somewhere(built: Path) -> None:
    assert list(dead(built / "site")) == []


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    for path in (built / "site").rglob("*.html"):
        assert not [each for each in Page(path).loads if urlsplit(each).scheme], path


def test_a_link_that_leads_nowhere_ends_the_build(built: Path, tmp_path: Path) -> None:
    page = built / "source/reference/volume-driver.md"
    before = page.read_text()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", built / "mkdocs.yml", "-d", tmp_path / "site"]
    try:
        for link in ("nowhere.md", "errors.md#nothing"):
            page.write_text(f"{before}\n[there]({link})\n")
            done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
            assert done.returncode == 1
            assert link.partition("#")[2] or link in done.stderr
    finally:
        page.write_text(before)


@pytest.mark.parametrize("kind", contract.kinds())
def test_a_kind_s_page_has_its_contract_and_its_parts(kind: str) -> None:
    catalog = registry.discover()
    page = reference.pages(catalog)[f"{kind}.md"]
    (protocol,) = [each for each in _members(contract.contract_of(kind).module) if kind_of(each)]
    for name, each in vars(protocol).items():
        if inspect.isfunction(each) and not name.startswith("_"):
            assert f"\n### {name}\n\n```python\n{name}(" in page
            assert (each.__doc__ or "").strip().partition("\n")[0].replace("<", "&lt;") in page
    for each in protocol.__annotations__:
        assert f"| `{each}` |" in page
    for facts in catalog.components.values():
        if facts.kind == kind:
            assert f"\n### {facts.name}\n" in page
            for option in facts.options:
                assert f"| `{option.name}` | " in page
    for each in classes.public(contract.contract_of(kind).module):
        if classes.described(contract.contract_of(kind).module, each):
            assert re.search(rf"^##+ {each}$", page, re.MULTILINE), each


def test_kinds_that_can_be_served_are_told_from_others() -> None:
    found = reference.pages(registry.discover())
    assert "lives with who needs it: it asks each reader's own function" in found["events.md"]
    assert "lives with who needs it" not in found["log-driver.md"]
    (row,) = [line for line in found["index.md"].splitlines() if line.startswith("| [`volume-driver`]")]
    assert row.split(" | ")[2:5] == ["yes", "yes", "yes"]


def _members(module: str) -> list[object]:
    return [each for each in vars(sys.modules[module]).values() if isinstance(each, type)]
