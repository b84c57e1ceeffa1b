"""Clients' regular expressions: what they find is what Go's would, in no time, whatever they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_frontend.docker import expressions
from moby_frontend.docker.expressions import found

ID = "0123456789abcdef" * 4
ATOMS = st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", "^", "$", r"\w", r"\b", "", r"\.", "(?:)"])


@pytest.mark.parametrize(
    ("expression", "text", "is_found"),
    [
        ("web", "my-web-1", True), ("^/web$", "/web", True), ("^/web$", "/web1", False), ("w.b", "wxb", True),
        ("^(web|api)(-[0-9]+)?$", "api-12", True), ("^(web|api)(-[0-9]+)?$", "api-", False), ("a{2,3}$", "caaa", True),
        ("^a{2}$", "aaa", False), ("^(ab){2,}$", "ababab", True), (r"^\d+\.\d+$", "1.20", True),
        ("[^a-c]", "abc", False),
        ("^(?P<x>a|b)+$", "abba", True), (r"\bx\b", "a x b", True), (r"\Bx", "ax", True), ("a|", "zzz", True),
        ("^[]a]+$", "a]a", True), ("^[[a]$", "[", True), ("a$", "a\n", False), ("a{x}", "a{x}", True),
        ("^a{,2}$", "a{,2}", True), ("^a{,2}$", "aa", False),
    ],
)  # fmt: skip
def test_what_is_found(expression, text, is_found):
    assert found(expression, text) is is_found


@pytest.mark.parametrize(
    "expression",
    [
        "(", ")", "*", "a**b)", "[", "\\", "a{1001}", "a{3,2}", "((a{99}){99}){99}", "[[:alpha:]]", "(?=a)", r"(a)\1",
        "x" * 999 + "..", "(" * 400 + "a" + ")" * 400 + "*" * 300, r"\pL", "[0-9a-f]{0,99999}",
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
    assert expressions._search(expressions._steps(expression), text) == (re.search(expression, text) is not None)
