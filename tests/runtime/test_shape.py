"""What passes for right at a first look is right at the second, and what is null is as good as left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_runtime.programs import reading
from moby_runtime.records.shape import CONFIG, Each, Elsewhere, Ignored, Missing, Strings, fits, missing, mistakes

from moby.contracts.images import ImageConfig
from moby.oci.spec import Request, container_spec
from moby.oci.user import User
from moby.testing.bundles import config

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["\0", "\ud800"]),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
    max_leaves=4,
)


def of(shape):
    """Values of a shape, most of which are right."""
    if isinstance(shape, dict):
        right = st.fixed_dictionaries({}, optional={key: of(each) for key, each in shape.items()})
    elif isinstance(shape, list):
        right = st.lists(of(shape[0]), max_size=2)
    elif isinstance(shape, Each) or shape is Strings:
        right = st.dictionaries(st.text(max_size=3), of(shape.shape if isinstance(shape, Each) else str), max_size=2)
    elif shape in (Missing, Ignored, Elsewhere):
        right = st.sampled_from([None, "", [], {}, 0, False, {"a": {}}])
    else:
        right = {str: st.text(max_size=3), int: st.integers(), bool: st.booleans()}[shape]
    return st.integers(0, 15).flatmap(lambda number: right if number else ANYTHING)


@given(st.sampled_from(sorted(CONFIG)).flatmap(lambda name: st.tuples(st.just(name), of(CONFIG[name]))))
def test_what_fits_has_neither_mistakes_nor_anything_missing(field):
    name, value = field
    data = {name: value, "no such field": None}
    if fits(data, CONFIG):
        assert [*mistakes(data, CONFIG), *missing(data, CONFIG)] == []
    elif json.dumps(data, ensure_ascii=False).isascii():
        assert [*mistakes(data, CONFIG), *missing(data, CONFIG)]


def test_bundles_as_engines_write_them_fit(tmp_path):
    user = User(0, 0, (), "/root")
    ours = container_spec(ImageConfig(), Request(hostname="box", command=("true",)), user=user, rootfs=tmp_path)
    for data in (ours, config(["true"])):
        assert fits(json.loads(json.dumps(data)), CONFIG)


@pytest.mark.parametrize(
    "text", ['{"a":null}', '{"a": null}', '{"a":\tnull}', '{"a":\nnull}', '{"a":\r\nnull , "b":1}']
)
def test_null_is_as_left_out(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert reading.config_of(str(tmp_path)).keys() <= {"b"}


def test_null_is_left_out_at_any_depth(tmp_path):
    (tmp_path / "config.json").write_text('{"a":[{"b":null,"c":[null,1,\nnull]}],"d":"/dev/null"}')
    assert reading.config_of(str(tmp_path)) == {"a": [{"c": [None, 1, None]}], "d": "/dev/null"}
