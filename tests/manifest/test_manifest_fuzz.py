"""Whatever the bytes: an assembly, or problems inside the files and flags that were given, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moby.manifest import Assembly, Policy, Reading, read
from moby.manifest.document import MOST_BYTES
from moby.manifest.paths import split

pytestmark = pytest.mark.fuzz

# fmt: off
_WORDS = st.sampled_from([
    "moby", "name", "extends", "parameters", "components", "distribution", "runtime", "use", "as", "version", "config",
    "default", "served", "policy", "open", "formats", "budget", "target", "a", "b", "pyz", "any", "quickstart", "p",
    "${p}", "$${p}", "${", ">=1", "20MB", "null", "<<", "no", "optional", "x.yaml", "oci://x", "../x", "",
])
# fmt: on
_SCALARS = _WORDS | st.integers(-3, 3) | st.booleans() | st.none() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
_PART = st.dictionaries(st.sampled_from(["use", "as", "version", "config", "default", "served", "policy"]), _VALUES)
_LIKELY = st.fixed_dictionaries(
    {"moby": st.just(1)},
    optional={
        "name": st.just("x") | _VALUES,
        "parameters": st.dictionaries(_WORDS, _SCALARS, max_size=3) | _VALUES,
        "components": st.dictionaries(_WORDS, _PART | st.lists(_PART | _WORDS, max_size=3) | _VALUES, max_size=4),
        "distribution": st.dictionaries(_WORDS, _VALUES, max_size=4),
        "extends": st.lists(_WORDS, max_size=2),
    },
)
_YAML = st.text(alphabet="abmoy:1 \n-[]{}\"'&*!|>#%@`,?~.${}=<\t\\0x", max_size=60)
_FLAGS = st.lists(st.builds("{}.{}={}".format, _WORDS, _WORDS, _YAML) | st.text(max_size=12), max_size=2)


def _check(reading: Reading, sources: set[str]) -> None:
    assert reading.assembly is not None or reading.problems
    if reading.assembly is not None:
        _check_assembly(reading.assembly)
    for problem in reading.problems:
        assert problem.message
        if problem.where is not None:
            source = problem.where.source
            assert source in sources or source.startswith(("--set", "MOBY_PARAM_")) or "assemblies" in source
            assert problem.where.line >= 0
            assert problem.where.column >= 0


def _check_assembly(assembly: Assembly) -> None:
    keys = [(each.kind, each.name) for each in assembly.choices]
    assert keys == sorted(set(keys))
    for each in assembly.choices:
        assert each.use
        assert each.policy in set(Policy)
        assert assembly.where(each.path) is not None
        assert not set(each.config) & set(each.open)
        json.dumps([each.config, each.open], allow_nan=False)
    json.dumps(assembly.distribution.config, allow_nan=False)
    assert all(split(path) for path in assembly.origins)
    assert all(settings for settings in assembly.origins.values())


def _read(tmp_path_factory: pytest.TempPathFactory, data: bytes, sets: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    _check(read(path, sets=sets, environ={}), {str(path)})


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\x00")
@example(b"\xef\xbb\xbf")
@example("\ud800".encode("utf-8", "surrogatepass"))
@example(b'moby: 1\nname: "\\ud800"')
@example(b"? ")
@example(b"%YAML 1.1\n---\nmoby: 1")
@example(b"%TAG ! x:\n---\n!a b")
@example(b"&a : *a")
@example(b"[" * 100_000)
@example(b"{" * 100_000)
@example(b"- " * 100_000)
@example(b"? " * 10_000)
@example(b"a: " * 10_000)
@example(b"x" * MOST_BYTES)
@example(b"- 1\n" * 200_000)
def test_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    _read(tmp_path_factory, data, [])


@settings(deadline=None)
@given(_YAML, _FLAGS)
def test_text_like_yaml(tmp_path_factory: pytest.TempPathFactory, text: str, sets: list[str]) -> None:
    _read(tmp_path_factory, text.encode(), sets)


@settings(deadline=None)
@given(_LIKELY | _VALUES, _FLAGS)
def test_structures(tmp_path_factory: pytest.TempPathFactory, value: Any, sets: list[str]) -> None:
    _read(tmp_path_factory, json.dumps(value).encode(), sets)


@settings(deadline=None)
@given(_LIKELY, _LIKELY)
def test_structures_that_extend(tmp_path_factory: pytest.TempPathFactory, base: Any, over: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    below, above = folder / "below.yaml", folder / "above.yaml"
    below.write_text(json.dumps(base))
    above.write_text(json.dumps({**over, "extends": ["below.yaml"]}))
    _check(read(above, environ={}), {str(below), str(above)})
