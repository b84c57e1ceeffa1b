"""Patterns of .dockerignore and wildcards of paths, case by case and against trying all."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.context.patterns import MOST_BYTES, NONE, Patterns, read_ignore_file
from moby.context.wildcards import Wildcard, has_wildcards, matcher, pieces
from moby.errors import Invalid

LEFT_OUT = [
    (["a"], "a a/b a/b/c", "b b/a ab"),
    (["/a"], "", "a a/b"),
    (["a/"], "a a/b", "b"),
    (["./a/../b//c/"], "b/c b/c/d", "b a c"),
    (["a/b"], "a/b a/b/c", "a b a/c a/bc"),
    (["*"], "a a/b .x", ""),
    (["*.o"], "a.o .o x.o/b", "o a.oo a/b.o"),
    (["*/*.o"], "a/b.o", "b.o a/b/c.o"),
    (["a?"], "ab ab/c", "a abc a/b"),
    (["a[bc]"], "ab ac", "ad a/"),
    (["a[b-d]e"], "abe ade", "aae a-e"),
    (["a[^b-d]e"], "aae a-e", "abe a/e"),
    (["a[\\]x]"], "a] ax", "ab"),
    (["a\\*b"], "a*b", "axb"),
    (["\\a"], "a", "b"),
    (["**"], "a a/b", ""),
    (["**/a"], "a b/a b/c/a b/a/d", "ba ab b/ba"),
    (["**a"], "a ba b/a b/ca", "ab"),
    (["**/*.o"], "a.o b/a.o b/c/a.o", "a.x"),
    (["a/**"], "a/b a/b/c", "a b"),
    (["a/**/b"], "a/b a/x/b a/x/y/b", "a b a/bx"),
    (["a**"], "a ab a/b", "ba"),
    (["a**b"], "ab ax/b a/b", "axb"),
    (["**/a/**"], "a/b x/a/b", "a x/a"),
    (["**/a/**/*.o"], "a/b.o x/a/y/b.o a/y/z/b.o", "b.o a b/a.o"),
    (["a*b*c*d"], "abcd axbxcxd", "abc abdc a/bcd"),
    (["a", "!a/b"], "a a/c a/bc", "a/b a/b/c"),
    (["a", "!a/b", "a/b/c"], "a a/b/c a/b/c/d", "a/b a/b/d"),
    (["*", "!*.md", "README.md"], "a README.md", "b.md"),
    (["!a", "a"], "a a/b", "b"),
    (["a", "!a", "a/b"], "a/b", "a a/c"),
    (["a", "!**"], "", "a a/b"),
    (["**/x", "!a/x", "a/x/y"], "x b/x a/x/y", "a/x a/x/z"),
    (["**/*.o", "!a/keep"], "x.o a/y.o a/keep/x.o", "a/keep a/keep/x.c"),
    (["**/*.o", "!a/keep", "!a/keep/**"], "x.o", "a/keep/x.o a/keep/b/x.o"),
    (["*", "!src", "src/*.o"], "a src/x.o", "src src/x.c src/b/x.o"),
    (["!a", "*", "!*.c"], "a b a/x", "a.c a.c/x"),
    (["a/*", "!a/*/b", "*.x"], "a/b a/c a/c/d a/b/b.x c.x", "a/b/b a/b/b/c"),
    ([" a ", "", "\t"], "a", "b"),
    (["a.b", "c+d", "(e)", "{f}", "g$", "^h", "i|j"], "a.b c+d (e) {f} g$ ^h i|j", "axb ccd e f g h i"),
    (["日本/*"], "日本/x", "日/x"),
    (["a\nb"], "a\nb", "a"),
    (["a?b*"], "a\nbx", "ab"),
    (["."], "", "a"),
    ([".."], "", "a"),
    ([], "", "a a/b"),
]


def _paths(text: str) -> list[str]:
    return [each for each in text.split(" ") if each]


@pytest.mark.parametrize(
    ("patterns", "left_out", "kept"), LEFT_OUT, ids=[" ".join(each[0]) or "none" for each in LEFT_OUT]
)
def test_what_is_left_out(patterns: list[str], left_out: str, kept: str) -> None:
    found = Patterns(patterns)
    assert [each for each in _paths(left_out) if not found.matches(each)] == []
    assert [each for each in _paths(kept) if found.matches(each)] == []


def test_the_root_is_never_left_out() -> None:
    assert not Patterns(["**", ".", "*"]).matches(".")
    assert not Patterns(["**"]).matches("")


def test_going_through_a_tree() -> None:
    patterns = Patterns(["a", "!a/b", "c", "**/*.o"])
    above = patterns.match("a")
    assert (above, patterns.fits(above), patterns.final(above)) == ((0,), True, False)
    assert patterns.fits(patterns.match("a/x", above))
    assert not patterns.fits(patterns.match("a/b", above))
    inside = patterns.match("a/b/x.o", patterns.match("a/b", above))
    assert (patterns.fits(inside), patterns.final(inside)) == (True, True)
    assert patterns.final(patterns.match("c"))
    assert (patterns.match("d"), patterns.fits(NONE), patterns.final(NONE)) == (NONE, False, False)
    assert (patterns.inverts, Patterns(["a"]).inverts) == (True, False)
    assert patterns.texts == ("a", "!a/b", "c", "**/*.o")


@pytest.mark.parametrize(
    "pattern", ["[", "[]", "[]a]", "[^]", "[a", "[a-", "[a-]", "[-a]", "[a\\", "a\\", "**/[", "x[a-]y"]
)
def test_a_malformed_pattern(pattern: str) -> None:
    with pytest.raises(Invalid, match="syntax error in pattern"):
        Patterns([pattern])
    with pytest.raises(Invalid, match="syntax error in pattern"):
        Wildcard(pattern)


def test_a_pattern_that_takes_nothing_back() -> None:
    with pytest.raises(Invalid, match='illegal exclusion pattern: "!"'):
        Patterns(["!"])


@pytest.mark.parametrize(
    ("data", "patterns"),
    [
        (b"a\nb/../c\n", ("a", "c")), (b"\xef\xbb\xbfa", ("a",)), (b"# a\n #b\n", ("#b",)),
        (b" a \r\n\r\n\t\n", ("a",)),
        (b"/a\n!/b\n! c\n!\n", ("a", "!b", "!c", "!")), (b"a//b/\n./c\n/\n", ("a/b", "c", "/")), (b"", ()),
        (b"\xff", ("\ufffd",)),
    ],
)  # fmt: skip
def test_an_ignore_file(data: bytes, patterns: tuple[str, ...]) -> None:
    assert read_ignore_file(data) == patterns


def test_an_ignore_file_that_is_too_big() -> None:
    with pytest.raises(Invalid, match=f"bigger than {MOST_BYTES} bytes"):
        read_ignore_file(b"a" * (MOST_BYTES + 1))


def test_a_hostile_ignore_file_takes_a_time_that_grows_with_it_alone() -> None:
    start = time.process_time()
    patterns = Patterns(read_ignore_file(b"*a*b*c*d*e\n" * 10_000 + b"x/y\n" * 100_000 + b"**/" * 50_000 + b"b"))
    assert not patterns.matches("a" * 250)
    deep = Patterns(["**/*a*a*a*a*a*a*a*a*a/**/b"])
    assert not deep.matches("/".join(["a" * 250] * 16))
    assert time.process_time() - start < 20


WILDCARDS = [
    ("a*", "a ab", "b a/b"),
    ("a**", "a ab", "a/b"),
    ("*/b", "a/b", "b a/c/b"),
    ("[a-c]?", "ab cx", "d a a/"),
    ("[^a]", "b", "a /"),
    ("[c-a]", "", "a b c"),
    ("\\[a\\]", "[a]", "a"),
    ("a*b*c*d*e", "abcde axbxcxdxe", "abcd abcd/e"),
]


@pytest.mark.parametrize(("pattern", "fits", "others"), WILDCARDS)
def test_a_wildcard(pattern: str, fits: str, others: str) -> None:
    wildcard = Wildcard(pattern)
    assert [each for each in _paths(fits) if not wildcard.matches(each)] == []
    assert [each for each in _paths(others) if wildcard.matches(each)] == []


def test_what_has_wildcards() -> None:
    assert [each for each in ("a", "a\\*", "\\\\", "a]", "") if has_wildcards(each)] == []
    assert [each for each in ("*", "a?", "[", "\\\\*") if not has_wildcards(each)] == []


PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?", "[ab]", "[^a]", "\\*"]), max_size=7).map(
    "".join
)
PATHS = st.text(alphabet="ab/*", max_size=10)


@given(PATTERNS, PATHS)
def test_both_ways_to_match_agree(pattern: str, path: str) -> None:
    parts = list(pieces(pattern, deep=True))
    compiled, other = matcher(parts), matcher(parts, compiled=False)
    assert compiled(path) == other(path) == (re.fullmatch(_expression(pattern), path) is not None)


def _expression(pattern: str) -> str:
    """Return an expression that may take very long, but is as the documentation says it."""
    parts = re.findall(r"\*\*/?|\\.|\[[^]]*\]|.", pattern)
    known = {"*": "[^/]*", "?": "[^/]", "[^a]": "[^a/]", "**": "(.*/)?", "**/": "(.*/)?", "\\*": r"\*"}
    if parts and parts[-1].startswith("**"):
        parts[-1] = "end"
    return "".join(known.get(each, ".*" if each == "end" else each) for each in parts)


CLEAN = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join)
GIVEN = st.lists(
    st.builds("".join, st.tuples(st.sampled_from(["", "!"]), PATTERNS.filter(lambda each: each.strip("/")))), max_size=6
)


@given(GIVEN, CLEAN)
def test_a_pattern_is_looked_at_only_where_it_changes_something(given_patterns: list[str], path: str) -> None:
    """As the documentation of MatchesUsingParentResults has it, pattern by pattern and folder by folder."""
    every = Patterns(given_patterns)
    alone = [Patterns([each.removeprefix("!")]) for each in given_patterns]
    above = [False] * len(given_patterns)
    wanted, known = False, NONE
    for folder in [path[:at] for at in range(len(path) + 1) if at == len(path) or path[at] == "/"]:
        wanted = False
        for number, pattern in enumerate(given_patterns):
            inverted = pattern.startswith("!")
            if not above[number] and inverted == wanted:
                above[number] = bool(alone[number].match(folder))
            if above[number]:
                wanted = not inverted
        known = every.match(folder, known)
        assert every.fits(known) == wanted
        if every.inverts:
            assert known == tuple(number for number, found in enumerate(above) if found)
    assert every.matches(path) == wanted


@pytest.mark.parametrize(
    "text",
    [b"a\n!a\n" * 50_000, b"*\n!*\n" * 10_000 + b"a\n" * 50_000, b"**/a\n!x/y\n" * 20_000],
    ids=["names", "wildcards before names", "one matches"],
)
def test_patterns_that_take_each_other_back_take_a_time_that_grows_with_their_number(text: bytes) -> None:
    start = time.process_time()
    patterns = Patterns(read_ignore_file(text + b"a\n"))
    assert patterns.fits(patterns.match("a/b", patterns.match("a")))
    assert time.process_time() - start < 20
