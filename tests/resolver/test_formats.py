"""Formats that are made of formats: which packagers take part, in which order, and for whom."""

import pytest
from attrs import evolve
from synthetic import facts

from moby.errors import Invalid, Origin
from moby.manifest.assembly import Assembly, DistributionChoice, Setting
from moby.plan import check, dump, load
from moby.registry import Catalog
from moby.resolver import resolve_build

FORMATS = {
    "pyz": {"preferred": True},
    "zip": {"gives": "pyz"},
    "deb": {"takes": "pyz"},
    "tree": {"takes": "pyz"},
    "disk": {"takes": "tree"},
    "lost": {"takes": "nothing"},
    "egg": {"takes": "hen"},
    "hen": {"takes": "egg"},
    "either": {"takes": "image"},
    "one": {"gives": "image"},
    "two": {"gives": "image"},
}


def catalog():
    made = {
        f"packager/{name}": evolve(
            facts(f"packager/{name}", {"preferred": said.get("preferred", False)}),
            takes=said.get("takes", ""),
            gives=said.get("gives", ""),
            contract=2,
        )
        for name, said in FORMATS.items()
    }
    return Catalog(dict(sorted(made.items())))


def built(*formats, config=None):
    written = {"distribution.formats": (Setting(list(formats), Origin("a.yaml", 3, 5)),)}
    distribution = DistributionChoice(formats, config or {})
    return resolve_build(Assembly("synthetic", distribution=distribution, origins=written), catalog())


@pytest.mark.parametrize(
    ("formats", "chain"),
    [
        pytest.param(["pyz"], ["pyz"], id="alone"),
        pytest.param(["deb"], ["pyz~", "deb<pyz"], id="what-it-takes-comes-first"),
        pytest.param(["deb", "zip"], ["zip", "deb<zip"], id="what-was-asked-for-is-taken"),
        pytest.param(["disk"], ["pyz~", "tree~<pyz", "disk<tree"], id="two-steps"),
        pytest.param(["disk", "pyz"], ["pyz", "tree~<pyz", "disk<tree"], id="one-of-them-asked-for"),
        pytest.param(["deb", "tree"], ["pyz~", "deb<pyz", "tree<pyz"], id="two-of-one"),
        pytest.param(["deb", "pyz", "zip"], ["pyz", "deb<pyz", "zip"], id="preferred-of-two"),
    ],
)
def test_the_chain(formats, chain):
    plan = built(*formats)
    check(plan)
    assert load(dump(plan)) == plan
    said = [
        each.name + "~" * each.between + (f"<{each.takes.removeprefix('packager/')}" if each.takes else "")
        for each in plan.instances
    ]
    assert said == chain


def test_why_a_step_is_there():
    reasons = {each.name: each.reason for each in built("disk").instances}
    assert reasons == {
        "pyz": "packager/tree takes what it gives",
        "tree": "packager/disk takes what it gives",
        "disk": "chosen at a.yaml:3:5",
    }


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        pytest.param(["lost"], "packager/lost takes nothing, which no installed packager gives", id="nobody-gives-it"),
        pytest.param(["egg"], "a format is made of itself: packager/egg takes from packager/hen", id="a-circle"),
        pytest.param(["either"], "packager/either takes image, which several give: one, two", id="several-give-it"),
    ],
)
def test_chains_that_come_to_nothing(formats, message):
    with pytest.raises(Invalid) as caught:
        built(*formats)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert str(problem.where) == "a.yaml:3:5"
    assert problem.fixes


def test_the_chain_of_one_of_several():
    plan = built("deb", "disk")
    assert [each.name for each in plan.chain("packager/disk").instances] == ["pyz", "tree", "disk"]


def test_a_plan_whose_order_is_wrong_is_refused():
    plan = built("deb")
    with pytest.raises(Invalid, match="wired to packager/pyz, which doesn't start before it"):
        check(evolve(plan, instances=plan.instances[::-1]))
