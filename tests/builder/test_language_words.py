"""Variables, quotes and escapes of a text, case by case."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_builder.dockerfile.language import globs
from moby_builder.dockerfile.language.spelling import nearest, quoted
from moby_builder.dockerfile.language.words import MOST_CHARACTERS, expand

from moby.contracts.builder import BuildFailed

VARIABLES = {
    "A": "apple", "EMPTY": "", "PATHS": "/usr/local/bin:/usr/bin", "FILE": "archive.tar.gz", "STAR": "a*b",
    "SPACED": " two  words ", "größe": "9", "SLASHES": "a/b/c", "REPEAT": "abcabcabc",
}  # fmt: skip

TEXTS = {
    # Names.
    "$A": "apple", "${A}": "apple", "x$A": "xapple", "$A.x": "apple.x", "$Ax": "", "${A}x": "applex",
    "$A$A": "appleapple",
    "$größe": "9", "$": "$", "a$": "a$", "$.": "$.", "$-x": "x", "$1x": "x", "$12x": "x", "$0": "", "$@": "", "$$": "",
    "$/": "$/", "${1}": "", "${1:-x}": "x", "${@:-x}": "x", "$ A": "$ A", "${UNSET}": "", "$UNSET": "", "$_": "",
    # Quotes and escapes.
    "'$A'": "$A", '"$A"': "apple", "\"'$A'\"": "'apple'", "'\"'": '"', "\\$A": "$A", "\\\\$A": "\\apple",
    '"\\$A"': "$A",
    '"\\\\$A"': "\\apple", '"a\\b"': "a\\b", "a\\b": "ab", "'a\\b'": "a\\b", "a\\": "a", "a\\\\": "a\\", '"\\""': '"',
    "\\'": "'", '\\"': '"', "''": "", '""': "", "a''b": "ab", "'\\'": "\\", "'a'\"b\"c": "abc", "\\ ": " ", "\\{": "{",
    '"a\\ b"': "a\\ b", '"${A}s"': "apples", '"$"': "$",
    # What to take where there is nothing.
    "${A:-x}": "apple", "${A-x}": "apple", "${UNSET:-x}": "x", "${UNSET-x}": "x", "${EMPTY:-x}": "x", "${EMPTY-x}": "",
    "${A:+x}": "x", "${A+x}": "x", "${UNSET:+x}": "", "${UNSET+x}": "", "${EMPTY:+x}": "", "${EMPTY+x}": "x",
    "${A:?no}": "apple", "${A?no}": "apple", "${EMPTY?no}": "", "${UNSET:-}": "", "${UNSET:-$A}": "apple",
    "${UNSET:-${A}}": "apple", "${UNSET:-${NONE:-x}}": "x", "${UNSET:-'}'}": "}", "${UNSET:-\\}}": "}",
    "${UNSET:-\"a b\"}": "a b", "${UNSET:-a:b}": "a:b", "${A:-${NONE?x}}": None, "${UNSET:-a{b}": "a{b",
    "${A}}": "apple}",
    # What is cut off.
    "${FILE#*.}": "tar.gz", "${FILE##*.}": "gz", "${FILE%.*}": "archive.tar", "${FILE%%.*}": "archive",
    "${FILE#x}": "archive.tar.gz", "${FILE%x}": "archive.tar.gz", "${FILE#a?c}": "hive.tar.gz",
    "${FILE%g?}": "archive.tar.",
    "${PATHS#*/}": "usr/local/bin:/usr/bin", "${PATHS##*/}": "bin", "${PATHS%/*}": "/usr/local/bin:/usr",
    "${PATHS%%/*}": "",
    "${STAR#a\\*}": "b", "${STAR#a*}": "*b", "${STAR##a*}": "", "${STAR%\\*b}": "a", "${A#}": "apple",
    "${A##}": "apple",
    "${UNSET#x}": "", "${EMPTY#*}": "", "${FILE#\"*.\"}": "tar.gz", "${FILE%.$NONE}": "archive.tar.gz",
    "${A#${A}}": "", "${A%e}": "appl", "${A%%[e]}": "apple", "${A##*p}": "le", "${A%%p*}": "a", "${A%p*}": "ap",
    # What is replaced.
    "${A/p/b}": "abple", "${A//p/b}": "abble", "${A/x/b}": "apple", "${A/p*/b}": "ab", "${A//?/x}": "xxxxx",
    "${A/?/x}": "xpple",
    "${A//p}": None, "${A/p/}": "aple", "${SLASHES/\\//-}": "a-b/c", "${SLASHES//\\//-}": "a-b-c", "${A//*/x}": "x",
    "${EMPTY/*/x}": "x", "${A//p/$A}": "aappleapplele", "${REPEAT//c*a/-}": "ab-bc", "${REPEAT//ca/-}": "ab-b-bc",
    "${UNSET/a/b}": "", "${A/a/\\}}": "\\}pple",
    # What isn't well-formed.
    "'a": None, '"a': None, "${": None, "${A": None, "${}": None, "${:}": None, "${{A}}": None, "${.}": None,
    "${A:x}": None,
    "${A:=x}": None, "${A=x}": None, "${A:#x}": None, "${A:%x}": None, "${A:": None, "${A:-x": None, "${A/b": None,
    "${A/b/c": None,
    "${UNSET?}": None, "${UNSET:?}": None, "${EMPTY:?}": None, '"${A': None, "a\\\\'b": None, "${A#a\\b}": None,
    "${A ": None,
    # Other scripts, and what looks like a here-document.
    "日$A": "日apple", "\\日": "日", "<<EOF": "<<EOF", "<$A": "<apple", "a<<b": "a<<b", "<< E": "<< E",
}  # fmt: skip


@pytest.mark.parametrize("text", [each for each in TEXTS if TEXTS[each] is not None])
def test_a_text(text: str) -> None:
    assert expand(text, VARIABLES).text == TEXTS[text]


@pytest.mark.parametrize("text", [each for each in TEXTS if TEXTS[each] is None])
def test_a_text_that_is_refused(text: str) -> None:
    with pytest.raises(BuildFailed, match="failed to process "):
        expand(text, VARIABLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a", 'failed to process "\'a": unexpected end of statement while looking for matching single-quote'),
        ('"a', 'failed to process "\\"a": unexpected end of statement while looking for matching double-quote'),
        ("${A", "failed to process \"${A\": syntax error: missing '}'"),
        ("${}", 'failed to process "${}": syntax error: bad substitution'),
        ("${A=b}", 'failed to process "${A=b}": unsupported modifier (=) in substitution'),
        ("${A:=b}", 'failed to process "${A:=b}": unsupported modifier (:=) in substitution'),
        ("${A/b}", "failed to process \"${A/b}\": syntax error: missing '/' in ${}"),
        ("${X?}", 'failed to process "${X?}": X: is not allowed to be unset'),
        ("${EMPTY:?}", 'failed to process "${EMPTY:?}": EMPTY: is not allowed to be empty'),
        ("${X?say why}", 'failed to process "${X?say why}": X: say why'),
        ("${A#\\x}", "failed to process \"${A#\\\\x}\": invalid pattern (\\x) in substitution: invalid escape '\\x'"),
    ],
)
def test_why_a_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(BuildFailed) as error:
        expand(text, VARIABLES)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ["a", "b"]), ("  a\t b ", ["a", "b"]), ("a\\ b", ["a b"]), ("'a b' c", ["a b", "c"]), ("", []),
        ("''", []),
        ("$SPACED", ["two", "words"]), ('"$SPACED"', [" two  words "]), ("x${SPACED}y", ["x", "two", "words", "y"]),
        ("x${UNSET:-a b}y", ["xa", "by"]), ("<< EOF x", ["<< EOF", "x"]), ("a<b c", ["a<b", "c"]),
        ("8080 $A/udp", ["8080", "apple/udp"]),
    ],
)  # fmt: skip
def test_words(text: str, words: list[str]) -> None:
    assert list(expand(text, VARIABLES).words) == words


@pytest.mark.parametrize(
    ("text", "kept"),
    [("'a' \"b\"", "'a' \"b\""), ("\\a", "\\a"), ("$X ${X} ${X:-y}", "$X ${X} ${X:-y}"), ("${X/a/b}", "${X/a/b}"),
     ("${X//a/b}", "${X//a/b}"), ("$A", "apple"), ('"\\$"', '"\\$"'), ("\\", "\\"), ("${X#a}", "${X#a}")],
)  # fmt: skip
def test_what_is_kept(text: str, kept: str) -> None:
    assert expand(text, VARIABLES, keep_quotes=True, keep_escapes=True, keep_missing=True).text == kept


def test_how_messages_quote() -> None:
    assert quoted('a"\\\n\x01é\u200b\U000e0001') == '"a\\"\\\\\\n\\x01é\\u200b\\U000e0001"'


@pytest.mark.parametrize(
    ("name", "known", "wanted"),
    [("targt", ["target", "type"], "target"), ("target", ["target", "targets"], ""), ("xyz", ["target"], ""),
     ("", [], ""),
     ("dts", ["dst", "src"], "dst"), ("chwon", ["chmod", "chown"], "chown"), ("ab", ["b", "abcd"], "b")],
)  # fmt: skip
def test_which_name_was_meant(name: str, known: list[str], wanted: str) -> None:
    assert nearest(name, known) == wanted


def test_a_name_is_meant_in_the_case_that_is_used() -> None:
    assert [nearest(each, ["FROM"], case=False) for each in ("frm", "FRM", "Frm")] == ["from", "FROM", "FROM"]


def test_another_escape() -> None:
    assert expand('`$A C:\\$A "`$A"', VARIABLES, escape="`").text == "$A C:\\apple $A"


def test_quotes_that_mean_nothing() -> None:
    assert expand('it\'s "$A" \\$A', VARIABLES, quotes=False).text == 'it\'s "apple" $A'


def test_which_variables_are_asked_for() -> None:
    found = expand("$A ${NONE:-$OTHER} '$QUOTED'", VARIABLES)
    assert (found.used, found.missing) == ({"A"}, {"NONE", "OTHER"})


def test_variables_of_variables_come_to_an_end() -> None:
    text = "x" * 1000
    with pytest.raises(BuildFailed, match=f"come to more than {MOST_CHARACTERS} characters"):
        expand("$T" * 20000, {"T": text})
    with pytest.raises(BuildFailed, match=f"comes to more than {MOST_CHARACTERS} characters"):
        expand("${T//x/" + "y" * 40000 + "}", {"T": text})
    with pytest.raises(BuildFailed, match="more than 100 variables inside each other"):
        expand("${A:-" * 101 + "}" * 101, {})


@given(st.text(alphabet=st.characters(exclude_characters="$'\"\\<", exclude_categories=("Cs",))))
def test_a_text_without_anything_special_stays(text: str) -> None:
    assert expand(text, {}).text == text


@given(st.text(alphabet=st.characters(exclude_characters="'", exclude_categories=("Cs",))))
def test_single_quotes_keep_all(text: str) -> None:
    assert expand(f"'{text}'", {}).text == text
    assert expand(f"'{text}'", {}, keep_quotes=True).text == f"'{text}'"


@given(st.text(alphabet="a$'\"\\{}:-+?#%/<* "), st.dictionaries(st.sampled_from("ab"), st.text(alphabet="a* /")))
def test_any_text_is_taken_or_refused(text: str, variables: Mapping[str, str]) -> None:
    try:
        found = expand(text, variables)
    except BuildFailed:
        return
    # Words are the text without its white space, but for what is quoted.
    assert "".join(found.words).replace(" ", "") == found.text.replace(" ", "")


PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "?", "\\*"]), max_size=6).map("".join)
VALUES = st.text(alphabet="ab*", max_size=8)


def _expression(pattern: str, longest: bool) -> str:
    parts = re.findall(r"\\.|.", pattern)
    many = ".*" if longest else ".*?"
    return "".join(many if each == "*" else "." if each == "?" else re.escape(each[-1]) for each in parts)


def _ends(pattern: str, value: str) -> list[int]:
    """Say where matches from the beginning may end, by trying all."""
    return [end for end in range(len(value) + 1) if re.fullmatch(_expression(pattern, True), value[:end])]


@given(PATTERNS, VALUES)
def test_cuts_against_trying_all(pattern: str, value: str) -> None:
    ends = _ends(pattern, value) or [0]
    assert globs.without_prefix(pattern, value, longest=False) == value[ends[0] :]
    assert globs.without_prefix(pattern, value, longest=True) == value[ends[-1] :]
    starts = [at for at in range(len(value) + 1) if re.fullmatch(_expression(pattern, True), value[at:])] or [
        len(value)
    ]
    assert globs.without_suffix(pattern, value, longest=False) == value[: starts[-1]]
    assert globs.without_suffix(pattern, value, longest=True) == value[: starts[0]]


@given(PATTERNS.filter(lambda each: each.strip("*")), VALUES)
def test_replacements_against_expressions(pattern: str, value: str) -> None:
    expression = _expression(pattern, True)
    assert globs.replace(pattern, "-", value, all=True, most=1000) == re.sub(expression, "-", value)
    assert globs.replace(pattern, "-", value, all=False, most=1000) == re.sub(expression, "-", value, count=1)


def test_a_hostile_pattern_takes_no_time() -> None:
    value = "a" * 60_000
    assert expand("${V##" + "*a" * 50 + "b}", {"V": value}).text == value
    assert expand("${V//" + "a*" * 50 + "b/x}", {"V": value}).text == value
