"""JSON of the records, read and written without the json module: the same as with it."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_runtime.records import json_text
from moby_runtime.records.json_text import decoded, encoded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
WRONG = ["", " ", "{", "[1,]", '{"a" 1}', "nul", '"a', "1 2", "\ufeff1", '{"a": 1}}', '"\n"', "[" * 5 + "}"]


@given(VALUES)
def test_what_is_written_is_json(value: object) -> None:
    assert encoded(value) == json.dumps(value)
    assert decoded(f" \n{encoded(value)}\t") == value


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(json.JSONDecodeError) as caught:
        decoded(text)
    assert str(caught.value) == str(expected.value)


def test_what_json_has_beyond_its_standard() -> None:
    assert [decoded(text) for text in ("Infinity", "-Infinity")] == [math.inf, -math.inf]
    assert math.isnan(decoded("NaN"))
    assert encoded([math.nan, math.inf, -math.inf]) == "[NaN, Infinity, -Infinity]"


@pytest.mark.parametrize("value", [b"a", {b"a": 2}, object(), [{"a": {1}}]])
def test_what_has_no_json(value: object) -> None:
    with pytest.raises(TypeError):
        encoded(value)


def test_what_is_too_deep() -> None:
    with pytest.raises(RecursionError):
        decoded("[" * 200000)


def test_an_interpreter_without_the_fast_half(monkeypatch) -> None:
    monkeypatch.setattr(json_text, "_fast", None)
    assert decoded(encoded({"a": [1, None, "x"]})) == {"a": [1, None, "x"]}
    with pytest.raises(ValueError, match="Expecting"):
        decoded("{")


def test_errors_are_the_same_in_a_process_that_has_not_imported_json() -> None:
    """Some versions' scanner raises an error of that module only where it is there."""
    code = (
        "import sys; from moby_runtime.records.json_text import decoded\n"
        "assert 'json' not in sys.modules and decoded('[1]') == [1] and 'json' not in sys.modules\n"
        "try:\n    decoded('{')\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Expecting property name")
