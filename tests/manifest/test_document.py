"""What of YAML a manifest may use, and where the rest is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from moby import manifest
from moby.manifest import Reading, document
from moby.manifest.document import MOST_BYTES, MOST_DEPTH
from moby.manifest.report import Report
from moby.manifest.tree import Scalar, plain

Put = Callable[..., Path]
Read = Callable[..., Reading]

BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        pytest.param("a: ]", "no valid YAML", 1, 4, id="unopened"),
        pytest.param("a:\n\tb: 1", "no valid YAML", 2, 1, id="tab"),
        pytest.param("a: 'x", "no valid YAML", 1, 6, id="open-quote"),
        pytest.param("a: %x", "no valid YAML", 1, 4, id="indicator"),
        pytest.param("", "empty", 1, 1, id="empty"),
        pytest.param("# nothing\n", "empty", 1, 1, id="comment"),
        pytest.param("- moby", "a manifest is a map, not a list", 1, 1, id="list"),
        pytest.param("moby", "a manifest is a map, not a single value", 1, 1, id="scalar"),
        pytest.param("moby: 1\n---\nmoby: 1", "a second document", 2, 1, id="documents"),
        pytest.param(
            "moby: 1\nname: a\nname: b", "key 'name' again; it is already at m.yaml:2:1", 3, 1, id="duplicate"
        ),
        pytest.param("1: x", "key 1 isn't text", 1, 1, id="number-key"),
        pytest.param("null: x", "key null isn't text", 1, 1, id="null-key"),
        pytest.param("yes: x", "unquoted yes is true to some", 1, 1, id="bool-key"),
        pytest.param("? [a]\n: x", "a key must be a word", 1, 3, id="list-key"),
        pytest.param("name: !!str x", "a YAML tag ('tag:yaml.org,2002:str')", 1, 7, id="tag"),
        pytest.param("name: !!python/name:os.system x", "a YAML tag", 1, 7, id="python-tag"),
        pytest.param("a: &x {b: 1}\nc: {<<: *x}", "merge keys (<<) aren't part of manifests", 2, 5, id="merge-key"),
        pytest.param("a: *x", "no anchor 'x' before this alias", 1, 4, id="undefined-alias"),
        pytest.param("a: &x [*x]", "alias 'x' inside its own anchor", 1, 8, id="recursive"),
        pytest.param(BOMB, "more than 100,000 values", 5, 29, id="bomb"),
        pytest.param("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep", 1, 53, id="deep"),
        pytest.param("a: " + "{a: " * 60 + "}" * 60, "nested more than 50 deep", 1, 197, id="deep-maps"),
        pytest.param(
            "a: &x " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*x" + "]" * 30, "50 deep", 2, 34, id="by-alias"
        ),
        pytest.param('name: "a\\0b"', "an escape for NUL", 1, 7, id="escaped-nul"),
        pytest.param("a: \x07", "a control character", 1, 4, id="bell"),
        pytest.param("name: {open: ${x}}", "no valid YAML", 1, 15, id="flow-parameter"),
    ],
)
def test_refuses(read: Read, text: str, message: str, line: int, column: int) -> None:
    reading = read(text, bare=True)
    assert reading.assembly is None
    found = [each for each in reading.problems if message in each.message]
    assert found, reading.problems
    where = found[0].where
    assert where is not None
    assert (where.source, where.line, where.column) == ("m.yaml", line, column)


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        pytest.param(
            "name: 'x\nmoby: 1\n", "unexpected end of stream; it begins at m.yaml:1:7", "end what", id="quote"
        ),
        pytest.param("moby: 1\na:\n   b: 1\n  c: 2\n", "it begins at m.yaml:1:1", "keys of one map alike", id="key"),
        pytest.param("a:\n  - b\n c: 1\n", "it begins at m.yaml:1:1", "keys of one map alike", id="item"),
        pytest.param("name: a: b\n", "mapping values are not allowed", "a colon and a space", id="colon"),
    ],
)
def test_what_would_be_yaml(read: Read, text: str, message: str, fix: str) -> None:
    (problem,) = read(text, bare=True).problems
    assert message in problem.message
    assert fix in problem.fixes[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("no", "false", id="no"),
        pytest.param("ON", "true", id="on"),
        pytest.param("0755", "YAML 1.1 and 1.2", id="octal"),
        pytest.param("0o17", "YAML 1.1 and 1.2", id="new-octal"),
        pytest.param("0b11", "YAML 1.1 and 1.2", id="binary"),
        pytest.param("22:22", "YAML 1.1 and 1.2", id="base-60"),
        pytest.param("1_000", "YAML 1.1 and 1.2", id="underscore"),
        pytest.param("1e3", "YAML 1.1 and 1.2", id="exponent"),
        pytest.param(".inf", "no number that JSON can carry", id="infinite"),
        pytest.param("1.0e+999", "too large a number", id="overflow"),
        pytest.param("9223372036854775808", "64 bits", id="huge"),
        pytest.param("9" * 400, "too long for a number", id="endless"),
    ],
)
def test_refuses_scalars_that_readers_of_yaml_differ_about(read: Read, text: str, word: str) -> None:
    reading = read(f"components: {{runtime: {{use: runc, config: {{x: {text}}}}}}}")
    assert [each.where.column for each in reading.problems if each.where] == [47]
    assert word in reading.problems[0].message
    assert reading.problems[0].fixes == ((f'quote it: "{text}"',) if len(text) < 40 else ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("False", False, id="false"),
        pytest.param("-17", -17, id="integer"),
        pytest.param("0x1F", 31, id="hex"),
        pytest.param("1.50", 1.5, id="float"),
        pytest.param("~", None, id="null"),
        pytest.param("1.1.0", "1.1.0", id="version"),
        pytest.param("20MB", "20MB", id="size"),
        pytest.param("2024-01-01", "2024-01-01", id="date"),
        pytest.param("y", "y", id="y"),
        pytest.param("127.0.0.1:80", "127.0.0.1:80", id="address"),
        pytest.param("1" + "z" * 400, "1" + "z" * 400, id="long-word"),
        pytest.param('"no"', "no", id="quoted"),
        pytest.param("<<", "<<", id="merge-as-value"),
    ],
)
def test_reads_scalars(text: str, value: object) -> None:
    report = Report()
    node = document.compose(text.encode(), "x", report)
    assert report.problems == []
    assert isinstance(node, Scalar)
    assert node.value == value
    assert type(node.value) is type(value)


@pytest.mark.parametrize(
    ("data", "message", "place"),
    [
        pytest.param(b"moby: 1\nname: \xff", "not UTF-8 text", "m.yaml:2:7", id="utf-8"),
        pytest.param(b"moby: 1\nna\0me: x", "not text: it holds a NUL byte", "m.yaml:2:3", id="nul"),
        pytest.param("moby: 1".encode("utf-16-le"), "not text: it holds a NUL byte", "m.yaml:1:2", id="utf-16"),
        pytest.param(b"#" * (MOST_BYTES + 1), "larger than 1 MiB", "m.yaml", id="large"),
    ],
)
def test_refuses_bytes(put: Put, data: bytes, message: str, place: str) -> None:
    path = put("")
    path.write_bytes(data)
    problems = manifest.read(path, environ={}).problems
    assert [(each.message, str(each.where)) for each in problems] == [(message, place)]


def test_a_byte_order_mark_is_no_matter(put: Put) -> None:
    path = put("")
    path.write_bytes(b"\xef\xbb\xbfmoby: 1\nname: a\n")
    assert manifest.load(path, environ={}).name == "a"


def test_aliases_within_bounds_are_followed(read: Read) -> None:
    reading = read("components: {runtime: {use: runc, config: {a: &x [1], b: *x}}}")
    assert reading.assembly is not None
    assert reading.assembly.choices[0].config == {"a": [1], "b": [1]}


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
def test_both_parsers_give_the_same_tree(monkeypatch: pytest.MonkeyPatch, loader: object) -> None:
    monkeypatch.setattr(document, "_LOADER", loader)
    report = Report()
    node = document.compose(b"a: 'x'\nb: |\n  y\nc: [no1, {d: ~}]\n", "f", report)
    assert node is not None
    assert plain(node) == {"a": "x", "b": "y\n", "c": ["no1", {"d": None}]}
    assert report.problems == []
    report = Report()
    assert document.compose(b"a: [", "f", report) is None
    assert document.compose(b"a: \x07", "f", report) is None
    assert [str(each.where) for each in report.problems] in (["f:2:1", "f:1:4"], ["f:1:5", "f:1:4"])


def test_depth_at_the_limit_is_fine() -> None:
    report = Report()
    deepest = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert document.compose(deepest.encode(), "f", report) is not None
    assert report.problems == []
