"""Installed distributions: files, digests, requirements, licences."""

import pytest
from installing import Site

from moby.distribution.installed import closure, find, tree_digest
from moby.errors import Corrupt, Invalid, MobyError, NotFound

FILES = {"sample/__init__.py": "A = 1\n", "sample/data.txt": "data"}


def test_digest_is_of_the_distribution_not_of_the_installation(site: Site) -> None:
    site.install("sample", FILES)
    plain = find("sample").digest
    site.install("sample", FILES, noise=True, direct_url={"url": "file:///tmp/sample.whl"})
    assert find("sample").digest == plain
    site.install("sample", {**FILES, "sample/data.txt": "other"})
    assert find("sample").digest != plain


def test_a_file_that_was_changed_is_corrupt(site: Site) -> None:
    site.install("sample", FILES)
    (site.folder / "sample/__init__.py").write_text("A = 2\n")
    with pytest.raises(Corrupt, match=r"sample 1.0: sample/__init__.py is not what its RECORD says"):
        find("sample").read("sample/__init__.py")
    (site.folder / "sample/data.txt").unlink()
    with pytest.raises(Corrupt, match=r"sample/data.txt can't be read.*\n.*pip install --force-reinstall sample==1.0"):
        find("sample").read("sample/data.txt")


def test_nothing_installed() -> None:
    with pytest.raises(NotFound, match="no-such-thing isn't installed\n  fix: pip install no-such-thing"):
        find("no-such-thing")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("LICENSE", id="beside-metadata"),
        pytest.param("licenses/LICENSE.txt", id="in-licenses"),
        pytest.param("COPYING", id="copying"),
        pytest.param("licence.md", id="british"),
        pytest.param("NOTICE", id="notice"),
    ],
)
def test_licences(site: Site, name: str) -> None:
    site.install("sample", FILES, licence=name)
    assert find("sample").licences() == (f"sample-1.0.dist-info/{name}",)


def test_editable_is_told(site: Site) -> None:
    site.install("sample", {"sample.pth": str(site.folder / "tree")}, direct_url={"dir_info": {"editable": True}})
    (site.folder / "tree" / "thing").mkdir(parents=True)
    (site.folder / "tree" / "thing" / "__init__.py").touch()
    found = find("sample")
    assert found.editable
    assert found.tops() == {"thing"}


def test_tree_digest_knows_no_place_and_no_bytecode(site: Site) -> None:
    for place in ("here", "there/deep"):
        folder = site.folder / place / "thing"
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "a.py").write_text("A = 1")
        (folder / "__pycache__" / "a.pyc").write_text(place)
    here, there = (tree_digest([("thing", site.folder / place / "thing")]) for place in ("here", "there/deep"))
    assert here == there
    (site.folder / "here/thing/b.py").touch()
    assert tree_digest([("thing", site.folder / "here/thing")]) != here


def test_closure_follows_requirements_and_knows_for_whom(site: Site) -> None:
    site.install("top", {"top.py": ""}, requires=["middle>=1", "extra-thing; extra == 'more'"])
    site.install("middle", {"middle.py": ""}, requires=["bottom; python_version < '3.12'", "top"])
    site.install("bottom", {"bottom.py": ""})
    site.install("extra-thing", {"extra_thing.py": ""})
    found = {name: sorted(owners) for name, (_, owners) in closure({"a/x": ["top"], "b/y": ["middle"]}).items()}
    assert found == {"bottom": ["a/x", "b/y"], "middle": ["a/x", "b/y"], "top": ["a/x", "b/y"]}
    assert sorted(closure({"a/x": ["top[more]"]})) == ["bottom", "extra-thing", "middle", "top"]


@pytest.mark.parametrize(
    ("requires", "error", "message"),
    [
        pytest.param(["absent"], NotFound, "top 1.0 needs absent, which isn't installed", id="absent"),
        pytest.param(
            ["absent; python_version < '3.12'"], NotFound, "top 1.0 needs absent, which isn't", id="absent-elsewhere"
        ),
        pytest.param(["low>=2"], Invalid, "top 1.0 needs low>=2, but 1.0 is installed", id="too-old"),
        pytest.param(["low >> 1"], Invalid, "top 1.0 needs 'low >> 1', which is no requirement", id="malformed"),
    ],
)
def test_closure_that_cannot_be(site: Site, requires: list[str], error: type[MobyError], message: str) -> None:
    site.install("low", {"low.py": ""})
    site.install("top", {"top.py": ""}, requires=requires)
    with pytest.raises(error, match=message):
        closure({"runtime/x": ["top"]})
