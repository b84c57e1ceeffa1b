"""Users' regular expressions: what they find is what Go's would, in no time, whatever they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.errors import Invalid
from moby.expressions import check, found
from moby.expressions.matching import search
from moby.expressions.reading import read

ID = "0123456789abcdef" * 4
ATOMS = st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", "^", "$", r"\w", r"\b", "", r"\.", "(?:)"])


@pytest.mark.parametrize(
    ("expression", "text", "is_found"),
    [
        ("web", "my-web-1", True), ("^/web$", "/web", True), ("^/web$", "/web1", False), ("w.b", "wxb", True),
        ("^(web|api)(-[0-9]+)?$", "api-12", True), ("^(web|api)(-[0-9]+)?$", "api-", False), ("a{2,3}$", "caaa", True),
        ("^a{2}$", "aaa", False), ("^(ab){2,}$", "ababab", True), (r"^\d+\.\d+$", "1.20", True),
        ("^*a", "ba", True), ("$+", "a", True), ("a|^?", "b", True),
        ("[^a-c]", "abc", False),
        ("^(?P<x>a|b)+$", "abba", True), (r"\bx\b", "a x b", True), (r"\Bx", "ax", True), ("a|", "zzz", True),
        ("^[]a]+$", "a]a", True), ("^[[a]$", "[", True), ("a$", "a\n", False), ("a{x}", "a{x}", True),
        ("^a{,2}$", "a{,2}", True), ("^a{,2}$", "aa", False), ("a{01}", "a{01}", True),
        ("(?i)B", "b", True), ("(?i:b)2", "B2", True), ("a(?i)b|c", "C", True), ("(?:a|(?i)b)c", "bC", False),
        ("(?i)a(?-i)b", "AB", False), ("(?i)[^a]", "A", False), ("(?i)[k]", "\N{KELVIN SIGN}", True),
        ("(?i)ß", "ẞ", True),
        ("(?i)\N{LATIN SMALL LETTER LONG S}", "S", True), ("(?i)[[:^upper:]]", "aB", False),
        (r"(?i)\P{Lu}", "aB", False), ("(?i)É", "é", True),
        ("^[[:alpha:]]$", "z", True), ("[[:^alnum:]]", "a.", True), ("[^[:alnum:]]", "a1", False),
        ("[[:word:]-]+5", "-5", True),
        (r"^\pL\pN$", "é²", True), (r"\PL", "aé", False), (r"\p{^L}", "aé", False), (r"[\pL]", "1é", True),
        (r"\p{Cn}", "a", False),
        (r"\pC", "\N{ZERO WIDTH SPACE}", True), (r"\pC", "\u0378", False), (r"\p{Any}", "\n", True),
        (r"\x41\x{1F433}", "A🐳", True), (r"\101\0", "A\0", True), (r"\Qa.b*\E$", "a.b*", True),
        (r"^\Qa.b", "axb", False),
        (r"[\d-]", "-", True), (r"[a-\x{7a}]", "q", True), (r"\s", "\v", False), (r"\d", "٣", False),
        (r"\w", "é", False),
        ("a.b", "a\nb", False), ("(?s)a.b", "a\nb", True), ("^b$", "a\nb\n", False), ("(?m)^b$", "a\nb\n", True),
        ("[^b]", "\n", True), ("(?U)a.*?", "a", True), ("(?)a", "a", True), ("(?<x>a)", "a", True),
        (r"a\z", "a\n", False),
    ],
)  # fmt: skip
def test_what_is_found(expression, text, is_found):
    assert found(expression, text) is is_found


@pytest.mark.parametrize(
    "expression",
    [
        "(", ")", "*", "a**b)", "[", "\\", "a{1001}", "a{3,2}", "((a{99}){99}){99}", "[[:nope:]]", "(?=a)", r"(a)\1",
        "x" * 999 + "..", "(" * 400 + "a" + ")" * 400 + "*" * 300, r"\p{Greek}|.", "[0-9a-f]{0,99999}", "0*+", r"0\Z",
        r"[\b0]", "(?<=0)1", "(?i-)0",
    ],
)  # fmt: skip
def test_what_is_none_finds_nothing(expression):
    assert not found(expression, ID)


@pytest.mark.parametrize(
    "expression",
    [
        "(([0-9a-f])|([0-9a-f]))*x", "(a|a|b)*$x", "(.*)" * 20 + "x", ".*" * 100 + "x", "(.?){60}" + "[0-9a-f]{60}x",
        "(" * 5 + "[0-9a-f]+" + ")+" * 5 + "x", "(0|0)(1|1)" * 30 + "x", "((((){999}){999}){999}){999}x", "(()*)*x",
        "(.|.){,999}!", "(.|.){0,99999}!",
    ],
)  # fmt: skip
def test_one_that_has_more_ways_than_anybody_tries_ends(expression):
    assert not found(expression, ID)


def test_a_long_text_takes_no_time_either():
    assert not found("(.|.)" * 8 + ".*.*!", "a" * 5000)


@given(st.recursive(ATOMS, lambda inner: st.one_of(
    st.tuples(inner, inner).map("".join),
    st.tuples(inner, inner).map(lambda both: f"({both[0]}|{both[1]})"),
    st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])).map(lambda x: f"({x[0]}){x[1]}"),
), max_leaves=6), st.text("ab._", max_size=6))  # fmt: skip
def test_all_of_it_is_found_that_python_finds(expression, text):
    assert search(read(expression), text) == (re.search(expression, text) is not None)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (r"a\p{Greek}", r"invalid character class range: `\p{Greek}`"), ("(a", "missing closing ): `(a`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"), ("x(?<n-m>a)", "invalid named capture: `(?<n-m>`"),
        ("xa*+", "invalid nested repetition operator: `*+`"), ("x" * 1001, f"expression too large: `{'x' * 40}...`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"), ("a\\", "trailing backslash at end of expression: ``"),
        ("(.{1000}){6}", "invalid repeat count: `{6}`"), (".{1000}" * 6, "expression too large: `.{1000}.{1000}"),
        ("(" * 500, "expression nests too deeply: `((((("), ("[z-a]", "invalid character class range: `z-a`"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(expression, words):
    with pytest.raises(Invalid) as caught:
        check(expression)
    assert caught.value.message.startswith(f"error parsing regexp: {words}")
