"""How layers merge: the rules of the package's docstring, one by one, and the algebra that they obey."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moby.errors import Invalid, Origin
from moby.manifest import Assembly
from moby.manifest.document import compose
from moby.manifest.draft import Draft, Layer
from moby.manifest.report import Report
from moby.manifest.sections import lay
from moby.manifest.tree import Map

Load = Callable[..., Assembly]


def _chosen(assembly: Assembly, kind: str = "k") -> dict[str, Any]:
    """Return a kind's parts: by name the component, or the component and its options."""
    parts = [each for each in assembly.choices if each.kind == kind]
    return {each.name: (each.use, each.config) if each.config else each.use for each in parts}


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        pytest.param("k: a", "j: b", {"a": "a"}, id="other-kind"),
        pytest.param("k: a", "k: b", {"b": "b"}, id="name-replaces-name"),
        pytest.param("k: {use: a, config: {x: 1}}", "k: a", {"a": ("a", {"x": 1})}, id="same-name-keeps"),
        pytest.param("k: {use: a, config: {x: 1}}", "k: k/a", {"a": ("a", {"x": 1})}, id="id-is-the-name"),
        pytest.param("k: {use: a, config: {x: 1}}", "k: b", {"b": "b"}, id="other-name-drops-options"),
        pytest.param("k: {use: a, as: n, config: {x: 1}}", "k: a", {"n": ("a", {"x": 1})}, id="name-of-renamed"),
        pytest.param("k: a", "k: {config: {x: 1}}", {"a": ("a", {"x": 1})}, id="change-the-only-one"),
        pytest.param(
            "k: {use: a, config: {x: 1, y: 2}}",
            "k: {use: a, config: {y: 3, z: 4}}",
            {"a": ("a", {"x": 1, "y": 3, "z": 4})},
            id="maps-merge",
        ),
        pytest.param(
            "k: {use: a, config: {x: {p: 1, q: 2}}}",
            "k: {config: {x: {q: 3}}}",
            {"a": ("a", {"x": {"p": 1, "q": 3}})},
            id="deep-maps-merge",
        ),
        pytest.param(
            "k: {use: a, config: {x: [1, 2]}}", "k: {config: {x: [3]}}", {"a": ("a", {"x": [3]})}, id="lists-replace"
        ),
        pytest.param(
            "k: {use: a, config: {x: {p: 1}}}", "k: {config: {x: 2}}", {"a": ("a", {"x": 2})}, id="scalar-replaces-map"
        ),
        pytest.param(
            "k: {use: a, config: {x: 2}}",
            "k: {config: {x: {p: 1}}}",
            {"a": ("a", {"x": {"p": 1}})},
            id="map-replaces-scalar",
        ),
        pytest.param(
            "k: {use: a, config: {x: 1, y: 2}}",
            "k: {config: {x: null}}",
            {"a": ("a", {"y": 2})},
            id="null-removes-option",
        ),
        pytest.param(
            "k: {use: a, config: {x: {p: 1, q: 2}}}",
            "k: {config: {x: {p: null}}}",
            {"a": ("a", {"x": {"q": 2}})},
            id="null-removes-deep",
        ),
        pytest.param("k: {use: a, config: {x: 1}}", "k: {config: null}", {"a": "a"}, id="null-removes-config"),
        pytest.param("k: a", "k: null", {}, id="null-removes-kind"),
        pytest.param(
            "k: {use: a, config: {x: 1}}",
            "k: {use: b, config: {y: 1}}",
            {"b": ("b", {"y": 1})},
            id="other-use-replaces",
        ),
        pytest.param("k: {use: a, as: n, config: {x: 1}}", "k: {use: b, as: n}", {"n": "b"}, id="other-use-same-name"),
        pytest.param(
            "k: {use: a, as: n, config: {x: 1}}",
            "k: {use: a, config: {y: 1}}",
            {"n": ("a", {"x": 1, "y": 1})},
            id="by-use",
        ),
        pytest.param("k: a", "k: {use: a, as: n}", {"n": "a"}, id="another-name-is-another-part"),
        pytest.param("k: [a, b]", "k: [c]", {"c": "c"}, id="list-replaces-list"),
        pytest.param("k: [a, b]", "k: b", {"b": "b"}, id="name-replaces-list"),
        pytest.param(
            "k: [{use: a, config: {x: 1}}, b]", "k: [c, a]", {"a": ("a", {"x": 1}), "c": "c"}, id="list-keeps"
        ),
        pytest.param(
            "k: [{use: a, config: {x: 1}}]",
            "k: [{use: a, config: {y: 2}}, {use: a, as: n}]",
            {"a": ("a", {"x": 1, "y": 2}), "n": "a"},
            id="list-merges-same-name",
        ),
        pytest.param(
            "k: [a, {use: a, as: n}]", "k: [{as: n, config: {x: 1}}]", {"n": ("a", {"x": 1})}, id="list-by-as"
        ),
        pytest.param(
            "k: [a, {use: a, as: n}]",
            "k: {as: n, config: {x: 1}}",
            {"a": "a", "n": ("a", {"x": 1})},
            id="map-changes-one-of-many",
        ),
        pytest.param("k: [a, b]", "k: {use: b, config: {x: 1}}", {"a": "a", "b": ("b", {"x": 1})}, id="map-by-use"),
        pytest.param("k: [a, b]", "k: {use: c}", {"c": "c"}, id="new-map-replaces-all"),
        pytest.param("k: [a, b]", "k: {a: {config: {x: 1}}}", {"a": ("a", {"x": 1}), "b": "b"}, id="by-name"),
        pytest.param("k: [a, b]", "k: {a: null}", {"b": "b"}, id="null-removes-part"),
        pytest.param("k: [a, b]", "k: {a: {use: c}, b: null}", {"a": "c"}, id="by-name-other-use"),
    ],
)
def test_parts(load: Load, base: str, over: str, expected: dict[str, Any]) -> None:
    assert _chosen(load(f"components: {{{base}}}", f"components: {{{over}}}")) == expected


@pytest.mark.parametrize(
    ("base", "over", "message"),
    [
        pytest.param("k: a", "j: null", "null removes what was inherited, and there is no components.j", id="kind"),
        pytest.param("k: a", "k: {config: {x: null}}", "there is no components.k.a.config.x", id="option"),
        pytest.param("k: a", "k: {config: {x: {y: null}}}", "there is no components.k.a.config.x.y", id="deep-option"),
        pytest.param("k: a", "k: {version: null}", "there is no components.k.a.version", id="field"),
        pytest.param("k: [a, b]", "k: {a: null, c: null}", "there is no components.k.c", id="part"),
        pytest.param("k: [a, b]", "k: {a: null, b: null}", "no k is left", id="all-parts"),
        pytest.param("k: [a, b]", "k: {a: null, bb: {served: true}}", "unknown part of k 'bb'", id="unknown-part"),
        pytest.param("k: [a, b]", "k: {a: b}", "part a of k must be a map of use, as,", id="part-as-text"),
        pytest.param("k: [a, b]", "k: {a: {as: c}}", "a part can't be renamed", id="rename"),
        pytest.param("k: [a, b]", "k: {served: true}", "which k is meant? there are a, b", id="which"),
        pytest.param(
            "k: [{use: a, as: x}, {use: a, as: y}]", "k: {use: a, served: true}", "which k is meant?", id="which-use"
        ),
        pytest.param(
            "k: [a, b]", "k: {as: aa, served: true}", "unknown part of k 'aa', did you mean 'a'?", id="unknown-as"
        ),
        pytest.param("k: [a, b]", "k: [{as: c}]", "unknown part of k 'c'", id="unknown-in-list"),
    ],
)
def test_nothing_to_change(load: Load, base: str, over: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(f"components: {{{base}}}", f"components: {{{over}}}")
    assert message in caught.value.problems[0].message
    assert caught.value.problems[0].where is not None
    assert str(caught.value.problems[0].where).startswith("layer1.yaml:3:")


def test_null_in_a_root_says_that_a_kind_shall_not_be_filled(load: Load) -> None:
    assert [each.kind for each in load("components: {k: null}").removals] == ["k"]


def test_null_over_a_kind_also_says_so(load: Load) -> None:
    assert [each.kind for each in load("components: {k: a}", "components: {k: null}").removals] == ["k"]


def test_a_removed_kind_can_be_chosen_again(load: Load) -> None:
    again = load("components: {k: {use: a, config: {x: 1}}}", "components: {k: null}", "components: {k: a}")
    assert (_chosen(again), again.removals) == ({"a": "a"}, ())


def test_removing_again_is_no_error(load: Load) -> None:
    nulls = "components: {k: {config: {x: null}}, j: null}"
    assert _chosen(load("components: {k: {use: a, config: {x: 1}}, j: b}", nulls, nulls)) == {"a": "a"}


def test_a_later_default_takes_the_mark(load: Load) -> None:
    assembly = load("components: {k: [{use: a, default: true}, b]}", "components: {k: {b: {default: true}}}")
    assert {each.name: each.default for each in assembly.choices} == {"a": False, "b": True}


def test_an_open_option_is_a_scalar(load: Load) -> None:
    over = "components: {k: {config: {x: {open: 2}, y: {p: 1}, z: {open: [1]}}}}"
    choice = load("components: {k: {use: a, config: {x: {p: 1}, y: {open: 1}}}}", over).choices[0]
    assert (choice.config, choice.open) == ({"y": {"p": 1}}, {"x": 2, "z": [1]})


def test_distribution(load: Load) -> None:
    base = "distribution: {formats: [pyz, deb], budget: 1MB, config: {deb: {a: 1, b: 2}}, target: f.json}"
    over = "distribution: {formats: [oci], budget: null, config: {deb: {a: null}, oci: {c: 1}}}"
    found = load(base, over).distribution
    assert (found.formats, found.budget_bytes, found.target) == (("oci",), None, "f.json")
    assert found.config == {"deb": {"b": 2}, "oci": {"c": 1}}
    assert load(base, "distribution: null").distribution.formats == ("pyz",)


def test_fields_of_a_part(load: Load) -> None:
    choice = load("components: {k: {use: a, as: n, version: '>=1,<2', served: true, policy: optional}}").choices[0]
    assert (choice.name, choice.version, choice.served, choice.policy) == ("n", ">=1,<2", True, "optional")
    assert choice.path == "components.k.n"


# The algebra ----------------------------------------------------------------------------------------------------

_OPTION = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=5,
)
_OPTIONS = st.dictionaries(st.sampled_from("xyz"), _OPTION, max_size=3)
_PATCH = st.dictionaries(
    st.sampled_from("xyz"),
    st.recursive(
        _OPTION | st.none(), lambda inner: st.dictionaries(st.sampled_from("pqr"), inner, max_size=3), max_leaves=5
    ),
    max_size=3,
)
_NAME = st.sampled_from(["a", "b", "c"])
_WHOLE = _NAME | st.fixed_dictionaries(
    {"use": _NAME}, optional={"as": st.sampled_from(["m", "n"]), "config": _OPTIONS, "served": st.booleans()}
)
_CHANGE = st.fixed_dictionaries(
    {},
    optional={
        "use": _NAME,
        "as": st.sampled_from(["m", "n"]),
        "config": _PATCH | st.none(),
        "served": st.booleans() | st.none(),
        "default": st.booleans(),
    },
)
_KIND = (
    st.none()
    | _WHOLE
    | _CHANGE
    | st.lists(_WHOLE | _CHANGE, min_size=1, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", "m"]), st.none() | _CHANGE, min_size=1, max_size=2)
)
_LAYER = st.fixed_dictionaries({}, optional={"k": _KIND, "j": _KIND})


def _merged(*layers: dict[str, Any]) -> Draft:
    draft = Draft(Report())
    for at, components in enumerate(layers):
        root = compose(json.dumps({"moby": 1, "components": components}).encode(), f"layer{at}", draft.report)
        assert isinstance(root, Map)
        lay(draft, Layer(f"layer{at}", root))
    return draft


def _state(draft: Draft) -> Any:
    kinds = {
        kind: {name: (part.use, part.fields, part.config) for name, part in parts.items()}
        for kind, parts in draft.kinds.items()
        if parts
    }
    return kinds, draft.removed


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(_LAYER, max_size=3), _LAYER)
def test_laying_a_layer_twice_is_laying_it_once(below: list[dict[str, Any]], layer: dict[str, Any]) -> None:
    once = _merged(*below, layer)
    if not once.report.problems:
        twice = _merged(*below, layer, layer)
        assert twice.report.problems == []
        assert _state(twice) == _state(once)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(_LAYER, max_size=3), st.integers(0, 3))
def test_an_empty_layer_changes_nothing(layers: list[dict[str, Any]], at: int) -> None:
    assert _state(_merged(*layers[:at], {}, *layers[at:])) == _state(_merged(*layers))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(_LAYER, max_size=3), _LAYER, _LAYER)
def test_layers_of_different_kinds_commute(below: list[Any], one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = {"k": one.get("k")}, {"j": other.get("j")}
    assert _state(_merged(*below, left, right)) == _state(_merged(*below, right, left))


# Where a key is a map in one layer and none in the next, what was in the map is gone for good, so that the layers
# between can't be merged first.
_SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "x": st.dictionaries(st.sampled_from("pqr"), st.integers(0, 3), max_size=3),
        "y": st.dictionaries(st.sampled_from("pq"), st.dictionaries(st.sampled_from("pq"), st.booleans())),
        "z": st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    },
)


@pytest.mark.slow
@settings(deadline=None)
@given(_SHAPED, _SHAPED, _SHAPED)
def test_merging_options_is_associative(one: Any, two: Any, three: Any) -> None:
    def config(*layers: Any) -> Any:
        base, *over = [{"k": {"use": "a", "config": layer}} for layer in layers]
        return _merged(base, *over).kinds["k"]["a"].config

    assert config(one, config(two, three)) == config(config(one, two), three) == config(one, two, three)


@settings(deadline=None)
@given(_OPTIONS, _PATCH)
def test_options_merge_as_a_json_merge_patch(base: Any, patch: Any) -> None:
    def patched(target: Any, changes: Any) -> Any:  # RFC 7396
        if not isinstance(changes, dict):
            return changes
        result = copy.deepcopy(target) if isinstance(target, dict) else {}
        for key, value in changes.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = patched(result.get(key), value)
        return result

    draft = _merged({"k": {"use": "a", "config": base}}, {"k": {"config": patch}})
    assert draft.kinds["k"]["a"].config == patched(base, patch)


@settings(deadline=None)
@given(st.lists(_LAYER, min_size=1, max_size=4))
def test_what_holds_was_said_last(layers: list[dict[str, Any]]) -> None:
    draft = _merged(*layers)
    if draft.report.problems:
        return
    for kind, parts in draft.kinds.items():
        for name, part in parts.items():
            assert draft.settings["components", kind, name, "use"][-1].value == part.use
            for key, value in part.config.items():
                if not isinstance(value, dict):
                    assert draft.settings["components", kind, name, "config", key][-1].value == value
    live = {path for path, settings in draft.settings.items() if path[-1] == "use" and settings[-1].value is not None}
    assert live == {("components", kind, name, "use") for kind, parts in draft.kinds.items() for name in parts}


def test_the_chain_of_a_value_keeps_what_was_overridden_and_removed(load: Load) -> None:
    assembly = load(
        "components: {k: {use: a, config: {x: 1}}}",
        "components: {k: {config: {x: 2}}}",
        "components: {k: b}",
    )
    chain = assembly.origins["components.k.a.config.x"]
    assert [(each.value, str(each.origin)) for each in chain] == [
        (1, "layer0.yaml:3:38"),
        (2, "layer1.yaml:3:30"),
        (None, "layer2.yaml:3:17"),
    ]
    assert assembly.where("components.k.b.config.zz.y") == Origin("layer2.yaml", 3, 17)
    assert assembly.where("nothing") is None
