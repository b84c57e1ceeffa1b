"""Laws of variables, of merging and of what Go writes, for any values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_orchestrator.compose.files import golang, words
from moby_orchestrator.compose.files.merging import merge, unique
from moby_orchestrator.compose.files.places import Items, Map, copied
from moby_orchestrator.compose.files.scalars import read
from moby_orchestrator.compose.files.variables import Malformed, Missing, substitute

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
KEYS = st.sampled_from(["image", "labels", "x-own", "services", "a", "b", "ports", "environment"])
MAPS = st.recursive(st.dictionaries(KEYS, SCALARS, max_size=4), lambda inner: st.dictionaries(KEYS, inner, max_size=4))


def tree(value):
    if isinstance(value, dict):
        return Map({key: tree(each) for key, each in value.items()})
    return Items(map(tree, value)) if isinstance(value, list) else value


@given(TEXTS)
def test_an_escaped_text_is_itself(text):
    assert substitute(text.replace("$", "$$"), {}.get) == text


@given(NAMES, TEXTS, TEXTS.filter(lambda text: not set(text) & set("${}")))
def test_each_form_of_a_variable(name, value, default):
    there = {name: value}.get
    assert substitute(f"${name}.${{{name}}}", there) == f"{value}.{value}"
    for form, unset, empty, full in (
        ("-", default, "", value), (":-", default, default, value), ("+", "", default, default),
        (":+", "", "", default),
    ):  # fmt: skip
        text = f"<${{{name}{form}{default}}}>"
        assert substitute(text, {}.get) == f"<{unset}>"
        assert substitute(text, {name: ""}.get) == f"<{empty}>"
        assert substitute(text, there) == f"<{full if value else empty}>"
    with pytest.raises(Missing):
        substitute(f"${{{name}:?{default}}}", {name: ""}.get)
    assert substitute(f"${{{name}?{default}}}", {name: ""}.get) == ""


@given(st.text("${}A:-?+ab", max_size=20))
def test_any_text_has_a_value_or_is_malformed(text):
    try:
        assert isinstance(substitute(text, {"A": "$A"}.get), str)
    except (Malformed, Missing):
        assert "$" in text


@given(MAPS.filter(lambda value: isinstance(value, dict)))
def test_nothing_changes_what_it_is_laid_over(value):
    assert merge(tree(value), Map()) == value
    assert merge(Map(), tree(value)) == value


@given(st.dictionaries(KEYS, TEXTS), st.dictionaries(KEYS, TEXTS), st.dictionaries(KEYS, TEXTS))
def test_merging_is_associative_and_the_last_one_wins(one, two, three):
    trees = [tree({"volumes": {"v": each}}) for each in (one, two, three)]
    left = merge(merge(copied(trees[0]), copied(trees[1])), copied(trees[2]))
    right = merge(copied(trees[0]), merge(copied(trees[1]), copied(trees[2])))
    assert left == right
    labels = {key: each for key, each in (one | two | three).items() if key != "labels"}
    assert {key: left["volumes"]["v"][key] for key in labels} == labels


@given(st.lists(st.sampled_from(["A=1", "A=2", "B", "B=", "C=x"])))
def test_each_is_once_and_as_it_was_said_last(lines):
    found = unique(tree({"services": {"s": {"environment": lines}}}))["services"]["s"]["environment"]
    assert dict(each.partition("=")[::2] for each in found) == dict(each.partition("=")[::2] for each in lines)
    assert unique(Map({"services": Map({"s": Map({"environment": found})})}))["services"]["s"]["environment"] == found


@given(st.integers(-(1 << 62), 1 << 62))
def test_durations_are_read_as_they_are_written(value):
    assert golang.duration_ns(golang.duration_text(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_are_read_as_they_are_written(value, general):
    assert float(golang.float_text(value, general=general)) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_of_32_bits_too(value):
    assert golang.single(float(golang.float_text(value, 32))) == value


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_is_json(value):
    text = golang.json_text(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\\'"), max_size=5), max_size=5))
def test_quoted_words_are_themselves(given_words):
    assert words.split(" ".join(f"'{each}'" for each in given_words)) == given_words


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_whole_numbers_of_yaml(value):
    assert read(str(value)) == value
