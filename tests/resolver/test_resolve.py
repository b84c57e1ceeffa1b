"""What a resolution comes to where it succeeds: bindings, fills, order, policies; and what only values can ask for."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import synthetic
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from moby.component import Arity, Facts
from moby.contracts.command import THROUGH_FRONTEND
from moby.errors import Invalid, Origin
from moby.manifest.assembly import Assembly, Choice, DistributionChoice, Policy, Removal, Setting
from moby.plan import Plan
from moby.registry import Catalog
from moby.resolver import resolve, resolve_build
from moby.resolver.conflict import Case, involved, minimal
from moby.resolver.explanation import working_edits
from moby.resolver.index import Index
from moby.resolver.order import cycles, start_order
from moby.resolver.selection import select

STANDARD = synthetic.catalog({"from": "standard"})
LACKS_BRIDGE: dict[str, Any] = {"kernel": {"bridge": {"ok": False, "detail": "no bridge"}}, "binary": {}}


def choose(*ids: str, **given: Any) -> Choice:
    kind, _, name = ids[0].partition("/")
    use, _, own = name.partition("=")
    return Choice(kind, use, own or use, **given)


def assembly(*choices: Choice, removals: tuple[str, ...] = (), **given: Any) -> Assembly:
    return Assembly("synthetic", choices, tuple(Removal(kind) for kind in removals), **given)


def more(**components: Any) -> Catalog:
    named = {name.replace("__", "/").replace("_", "-"): said for name, said in components.items()}
    return synthetic.catalog({"from": "standard", "components": named})


def wired(plan: Plan, key: str) -> dict[str, tuple[str, ...]]:
    instance = plan.get(key)
    assert instance is not None
    return {parameter: binding.targets for parameter, binding in instance.bindings.items()}


def told(error: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [problem.message for problem in error.value.problems]


BINDINGS = [
    pytest.param([choose("command/run")], "command/run", {"supervisor": ("supervisor/foreground",)}, id="fill"),
    pytest.param(
        [choose("command/run")], "supervisor/foreground", {"runtimes": ("runtime/native",)}, id="fill-of-fill"
    ),
    pytest.param(
        [
            choose("command/run"),
            choose("runtime/runc"),
            choose("runtime/bwrap"),
            choose("runtime/native", default=True),
        ],
        "supervisor/foreground",
        {"runtimes": ("runtime/native", "runtime/bwrap", "runtime/runc")},
        id="each-default-first",
    ),
    pytest.param(
        [choose("command/checkpoint"), choose("runtime/native"), choose("runtime/runc", default=True)],
        "command/checkpoint",
        {"runtime": ("runtime/runc",)},
        id="one-is-the-default",
    ),
    pytest.param([choose("command/status")], "command/status", {"supervisor": ()}, id="optional-is-never-filled"),
    pytest.param(
        [choose("command/status"), choose("supervisor/local")],
        "command/status",
        {"supervisor": ("supervisor/local",)},
        id="optional-gets-the-chosen",
    ),
    pytest.param(
        [choose("command/status"), choose("command/run")],
        "command/status",
        {"supervisor": ("supervisor/foreground",)},
        id="optional-gets-what-another-had-filled",
    ),
    pytest.param(
        [choose("runtime/runc=fast"), choose("runtime/runc=slow", default=True), choose("supervisor/local")],
        "supervisor/local",
        {"runtimes": ("runtime/slow", "runtime/fast"), "logs": ("log-driver/json",)},
        id="instances-by-their-own-names",
    ),
]


@pytest.mark.parametrize(("choices", "key", "expected"), BINDINGS)
def test_bindings(choices: list[Choice], key: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert wired(resolve(assembly(*choices), STANDARD), key) == expected


def test_reasons() -> None:
    origin = Origin("a.yaml", 4, 12)
    origins = {"components.command.run": (Setting("run", origin),)}
    plan = resolve(assembly(choose("command/run"), choose("events/ring"), origins=origins), STANDARD)
    assert {each.key: each.reason for each in plan.instances} == {
        "command/run": "chosen at a.yaml:4:12",
        "events/ring": "chosen",
        "supervisor/foreground": "command/run needs a supervisor; preferred",
        "runtime/native": "supervisor/foreground needs a runtime; preferred",
    }


def test_options_are_whole_with_defaults_and_what_is_left_open() -> None:
    plan = resolve(assembly(choose("runtime/native", config={"depth": 5}, open={"path": "/x"})), STANDARD)
    (native,) = plan.instances
    assert (native.config, native.open) == ({"cgroup": "files", "depth": 5, "path": "/x"}, ("path",))


def test_a_lone_part_is_the_default() -> None:
    plan = resolve(assembly(choose("command/run"), choose("runtime/runc")), STANDARD)
    assert all(each.default for each in plan.instances)


def test_a_range_that_holds() -> None:
    plan = resolve(assembly(choose("runtime/runc", version=">=1.1,<2")), STANDARD)
    assert [each.key for each in plan.instances] == ["runtime/runc"]


def test_a_removed_kind_that_nobody_needs() -> None:
    assert not resolve(assembly(removals=("supervisor",)), STANDARD).instances


def test_a_fill_offers_what_all_need() -> None:
    catalog = more(
        runtime__native={"preferred": True},
        runtime__able={"preferred": True, "provides": ["checkpoint"]},
    )
    plan = resolve(assembly(choose("command/checkpoint"), choose("command/run")), catalog)
    assert wired(plan, "supervisor/foreground") == {"runtimes": ("runtime/able",)}


def test_a_fill_that_gave_way_leaves_nothing_behind() -> None:
    catalog = more(
        supervisor__foreground={"preferred": True, "provides": [], "needs": {"events": "events"}},
        supervisor__local={"preferred": True, "provides": ["survives"]},
        command__able={"needs": {"tool": "tool"}},
        tool__first={"preferred": True, "needs": {"supervisor": {"kind": "supervisor", "features": ["survives"]}}},
        command__early={"needs": {"supervisor": "supervisor"}},
    )
    only = evolve(catalog, components={key: each for key, each in catalog.components.items() if key != "events/ring"})
    plan = resolve(assembly(choose("command/able"), choose("command/early")), only)
    assert [each.key for each in plan.instances if each.kind in ("supervisor", "events")] == ["supervisor/local"]


def test_of_several_preferred_the_least_that_suffices() -> None:
    catalog = more(runtime__native={"preferred": True}, runtime__able={"preferred": True, "provides": ["checkpoint"]})
    plan = resolve(assembly(choose("command/run")), catalog)
    assert wired(plan, "supervisor/foreground") == {"runtimes": ("runtime/native",)}


def test_what_a_verb_calls_the_engine_through_is_filled() -> None:
    kept = {"frontend": "optional frontend"}
    catalog = more(
        frontend__status={"preferred": True, "needs": {"events": "events"}},
        command__ps={"needs": kept, "provides": [THROUGH_FRONTEND]},
        command__top={"needs": kept},
    )
    assert resolve(assembly(choose("command/ps")), catalog).get("frontend/status")
    assert not resolve(assembly(choose("command/top")), catalog).get("frontend/status")
    assert not resolve(assembly(choose("command/ps"), removals=("frontend",)), catalog).get("frontend/status")


def test_of_two_preferred_the_one_that_fits_the_target() -> None:
    catalog = more(network_driver__bridge={"preferred": True, "host": [{"what": "kernel", "name": "bridge"}]},
                   network_driver__none={"preferred": True})  # fmt: skip
    plan = resolve(assembly(choose("networks/local")), catalog, target=LACKS_BRIDGE)
    assert wired(plan, "networks/local") == {"drivers": ("network-driver/none",)}
    assert plan.target == LACKS_BRIDGE


# Policies and the target -----------------------------------------------------------------------------------------


def bridged(policy: Policy) -> Assembly:
    return assembly(choose("networks/local"), choose("network-driver/none"),
                    choose("network-driver/bridge", policy=policy))  # fmt: skip


def test_an_unfit_part_is_left_out_by_policy() -> None:
    plan = resolve(bridged(Policy.SKIP_IF_UNFIT), STANDARD, target=LACKS_BRIDGE)
    assert wired(plan, "networks/local") == {"drivers": ("network-driver/none",)}
    assert list(plan.skipped) == ["network-driver/bridge"]
    assert "kernel bridge (links containers): no bridge" in plan.skipped["network-driver/bridge"]


def test_what_a_part_does_without_leaves_nothing_out() -> None:
    catalog = more(network_driver__bridge={"host": [{"what": "kernel", "name": "bridge", "optional": True}]})
    plan = resolve(bridged(Policy.SKIP_IF_UNFIT), catalog, target=LACKS_BRIDGE)
    assert plan.get("network-driver/bridge") and not plan.skipped


def test_for_any_host_nothing_is_left_out() -> None:
    plan = resolve(bridged(Policy.SKIP_IF_UNFIT), STANDARD)
    assert plan.get("network-driver/bridge") and not plan.skipped


def test_an_optional_part_may_fail_at_start() -> None:
    plan = resolve(bridged(Policy.OPTIONAL), STANDARD, target=LACKS_BRIDGE)
    assert plan.get("network-driver/bridge") and not plan.skipped


def test_what_needs_a_part_that_is_left_out_goes_with_it() -> None:
    chosen = assembly(
        choose("images/store", policy=Policy.SKIP_IF_UNFIT), choose("metadata/odd", policy=Policy.SKIP_IF_UNFIT)
    )
    catalog = more(metadata__odd={"host": [{"what": "kernel", "name": "bridge"}]})
    plan = resolve(chosen, catalog, target=LACKS_BRIDGE)
    assert not plan.instances
    assert "metadata/odd is left out" in plan.skipped["images/store"]


def test_what_fills_for_optional_parts_alone_is_optional() -> None:
    run = choose("command/run", policy=Policy.OPTIONAL)
    assert {each.policy for each in resolve(assembly(run), STANDARD).instances} == {"optional"}
    both = resolve(assembly(run, choose("command/debug"), choose("supervisor/local")), STANDARD)
    assert {each.key: each.policy for each in both.instances if each.policy != "required"} == {
        "command/run": "optional"
    }


# What no manifest can say, or what is about messages alone --------------------------------------------------------

WRONG = [
    pytest.param(
        assembly(choose("runtime/native", default=True), choose("runtime/runc", default=True)),
        "one runtime can be the default, and 2 are: runtime/native, runtime/runc",
        id="two-defaults",
    ),
    pytest.param(
        assembly(choose("runtime/native", version="newest")),
        "'newest' is no version range that runtime/native 0.1.0 can be compared with",
        id="range-unreadable",
    ),
    pytest.param(
        assembly(choose("command/look")),
        "screen/wide must be given option size: choose it, with option size",
        id="fill-needs-an-option",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_is_wrong(wrong: Assembly, message: str) -> None:
    catalog = more(
        command__look={"needs": {"screen": "screen"}},
        screen__wide={"preferred": True, "options": {"size": {"schema": {"type": "integer"}, "required": True}}},
    )
    with pytest.raises(Invalid) as error:
        resolve(wrong, catalog)
    assert told(error) == [message]
    assert all(problem.conflict for problem in error.value.problems)


def test_two_defaults_are_ended_by_unmarking_one() -> None:
    with pytest.raises(Invalid) as error:
        resolve(assembly(choose("runtime/native", default=True), choose("runtime/runc", default=True)), STANDARD)
    assert error.value.problems[0].fixes[:2] == (
        "drop `default: true` of runtime/native",
        "drop `default: true` of runtime/runc",
    )


def test_a_huge_assembly_is_explained_in_good_time() -> None:
    parts = {f"log-driver/d{number}": {} for number in range(1500)}
    catalog = synthetic.catalog({"from": "standard", "components": parts})
    chosen = [Choice("log-driver", f"d{number}", f"d{number}") for number in range(1500)]
    with pytest.raises(Invalid) as error:
        resolve(assembly(*chosen, choose("runtime/nativ"), choose("command/run")), catalog)
    (problem,) = error.value.problems
    assert problem.conflict == ("components.runtime.nativ",)
    assert problem.fixes[0] == "write `native` instead of `nativ`"


# The build ---------------------------------------------------------------------------------------------------------


def built(*formats: str, config: dict[str, Any] | None = None, **origins: int) -> Plan:
    written = {path.replace("__", "."): (Setting(None, Origin("a.yaml", line, 1)),) for path, line in origins.items()}
    distribution = DistributionChoice(formats, config or {})
    return resolve_build(assembly(choose("command/run"), distribution=distribution, origins=written), STANDARD)


def test_a_build_is_the_packagers_of_the_formats() -> None:
    plan = built("pyz", "oci", config={"oci": {"compress": True}})
    assert {each.key: dict(each.config) for each in plan.instances} == {
        "packager/oci": {"compress": True},
        "packager/pyz": {},
    }


def test_options_of_a_format_that_is_not_built_are_checked_and_stay_out() -> None:
    assert [each.key for each in built("pyz", config={"oci": {}}).instances] == ["packager/pyz"]
    with pytest.raises(Invalid, match="option compres of packager/oci"):
        built("pyz", config={"oci": {"compres": True}})


def test_an_unknown_format() -> None:
    with pytest.raises(Invalid) as error:
        built("pyzz", distribution__formats=9)
    (problem,) = error.value.problems
    assert problem.message == "no packager 'pyzz' is installed; installed: oci, pyz; did you mean pyz?"
    assert str(problem.where) == "a.yaml:9:1"
    assert problem.fixes[0] == "write `pyz` instead of `pyzz` at a.yaml:9:1"


def test_an_unknown_format_beside_a_known_one_can_be_dropped() -> None:
    with pytest.raises(Invalid) as error:
        built("pyz", "zebra")
    assert error.value.problems[0].fixes == ("write `oci` instead of `zebra`", "drop packager/zebra")


def test_a_wrong_option_of_a_format() -> None:
    with pytest.raises(Invalid) as error:
        built("oci", config={"oci": {"compress": 7}}, distribution__formats=9, distribution__config__oci__compress=11)
    (problem,) = error.value.problems
    assert str(problem.where) == "a.yaml:11:1"


# Properties --------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Assembly, Catalog]:
    """Catalogs of parts that need kinds after their own, so that there is no cycle; and some of them chosen."""
    count = draw(st.integers(1, 12))
    parts: dict[str, Facts] = {}
    for number in range(count):
        later = st.sampled_from([f"kind{other}" for other in range(number + 1, count)] or [""])
        needs = {}
        for kind in sorted(draw(st.sets(later, max_size=3)) - {""}):
            arity = draw(st.sampled_from(["one", "each", "optional"]))
            needs[f"p_{kind}"] = f"{arity} {kind}"
        for name in draw(st.sets(st.sampled_from("abc"), min_size=1)):
            key = f"kind{number}/{name}"
            said = {"needs": needs if name == "a" else {}, "preferred": name == "a"}
            parts[key] = synthetic.facts(key, said, frozenset({f"kind{each}" for each in range(0, count, 2)}))
    ids = draw(st.sets(st.sampled_from(sorted(parts)), max_size=4))
    return assembly(*(choose(key) for key in sorted(ids))), Catalog(parts)


def outcome(chosen: Assembly, catalog: Catalog) -> Any:
    try:
        return resolve(chosen, catalog)
    except Invalid as error:
        return error.problems


@pytest.mark.slow
@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_shuffled_input_gives_the_same(graph: tuple[Assembly, Catalog], draw: random.Random) -> None:
    chosen, catalog = graph
    choices, ids = list(chosen.choices), list(catalog.components)
    draw.shuffle(choices)
    draw.shuffle(ids)
    shuffled = Catalog({key: catalog.components[key] for key in ids})
    assert outcome(evolve(chosen, choices=tuple(choices)), shuffled) == outcome(chosen, catalog)


@pytest.mark.slow
@given(graphs())
@settings(max_examples=80, deadline=None)
def test_a_plan_is_closed_and_in_order(graph: tuple[Assembly, Catalog]) -> None:
    chosen, catalog = graph
    plan = outcome(chosen, catalog)
    if not isinstance(plan, Plan):
        return
    started: set[str] = set()
    for instance in plan.instances:
        assert set(instance.bindings) == {need.parameter for need in instance.facts.needs}
        for need in instance.facts.needs:
            targets = instance.bindings[need.parameter].targets
            assert started.issuperset(targets)
            assert {key.partition("/")[0] for key in targets} <= {need.kind}
            assert len(targets) == 1 if need.arity is Arity.ONE else len(targets) >= (need.arity is Arity.EACH)
        started.add(instance.key)
    asked = {choice.path.removeprefix("components.").replace(".", "/") for choice in chosen.choices}
    needed = {target for each in plan.instances for binding in each.bindings.values() for target in binding.targets}
    assert asked <= started <= asked | needed


@pytest.mark.slow
@given(graphs())
@settings(max_examples=40, deadline=None)
def test_conflicts_are_minimal_and_edits_work(graph: tuple[Assembly, Catalog]) -> None:
    chosen, catalog = graph
    case = Case(chosen, Index.of(catalog, None))
    findings = select(chosen, case.index).findings
    for finding in findings:
        items = minimal(case, involved(case, finding))
        assert case.only(items).wrong()
        assert not any(case.only(each for each in items if each != item).wrong() for item in items)
        for edit in working_edits(case, finding, findings):
            edited = edit.apply(case)
            after = edited.wrong()
            assert finding.identity not in after
            assert len(after) < len(findings)
            assert after or resolve(edited.assembly, catalog)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))))
def test_what_is_not_in_a_circle_starts_after_what_it_needs(edges: dict[str, set[str]]) -> None:
    needs = {key: sorted(edges.get(key, ())) for key in "abcdefgh"}
    order = start_order(needs)
    for position, key in enumerate(order):
        assert set(needs[key]) <= set(order[:position])
    assert bool(cycles(needs)) == (len(order) < len(needs))
    for cycle in cycles(needs):
        assert all(after in needs[key] for key, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        assert cycle[0] == min(cycle)


def single_changes(chosen: Assembly, catalog: Catalog) -> Iterator[Assembly]:
    """Yield what dropping, replacing or adding one part makes; apart from the edits that the resolver tries."""
    for choice in chosen.choices:
        others = [each for each in chosen.choices if each is not choice]
        yield evolve(chosen, choices=tuple(others))
        for facts in catalog.of_kind(choice.kind):
            if all(each.path != f"components.{facts.kind}.{facts.name}" for each in chosen.choices):
                yield evolve(chosen, choices=(*others, choose(facts.id)))
    for facts in catalog.components.values():
        if choose(facts.id) not in chosen.choices:
            yield evolve(chosen, choices=(*chosen.choices, choose(facts.id)))
            yield evolve(chosen, choices=(*chosen.choices, choose(facts.id, default=True)))


@pytest.mark.slow
@given(graphs())
@settings(max_examples=150, deadline=None)
def test_where_one_change_suffices_an_edit_is_offered(graph: tuple[Assembly, Catalog]) -> None:
    chosen, catalog = graph
    problems = outcome(chosen, catalog)
    if isinstance(problems, Plan) or all(problem.fixes for problem in problems):
        return
    assert not any(isinstance(outcome(each, catalog), Plan) for each in single_changes(chosen, catalog))


NAMES = st.one_of(st.text(max_size=8), st.sampled_from(["runtime", "native", "command", "run", "supervisor"]))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
ANYTHING = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2))
CHOICES = st.builds(
    Choice,
    kind=NAMES,
    use=NAMES,
    name=NAMES,
    version=st.one_of(st.just(""), st.text(max_size=6)),
    config=st.dictionaries(st.sampled_from(["depth", "cgroup", "x"]), ANYTHING, max_size=2),
    default=st.booleans(),
    served=st.booleans(),
    policy=st.sampled_from(Policy),
)


@pytest.mark.slow
@given(st.lists(CHOICES, max_size=4, unique_by=lambda choice: (choice.kind, choice.name)), st.sets(NAMES, max_size=2))
@settings(max_examples=100, deadline=None)
def test_any_assembly_is_resolved_or_explained(choices: list[Choice], removals: set[str]) -> None:
    for target in (None, LACKS_BRIDGE):
        try:
            resolve(assembly(*choices, removals=tuple(removals)), STANDARD, target=target)
        except Invalid as error:
            assert error.problems
            assert all(problem.message and problem.because for problem in error.problems)


def test_a_packager_inside_an_engine() -> None:
    with pytest.raises(Invalid) as error:
        resolve(assembly(choose("command/run"), choose("packager/pyz")), STANDARD)
    (problem,) = error.value.problems
    assert problem.message == "packager/pyz builds distributions, and is no part of an engine"
    assert problem.fixes == ("list pyz in distribution.formats, and its options in distribution.config.pyz",)
