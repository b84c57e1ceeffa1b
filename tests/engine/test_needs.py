"""A need of the host may be met by a Python package that is installed beside it."""

from collections.abc import Callable

import pytest
from attrs import evolve

from moby.component import HostNeed
from moby.host.facts import Probe
from moby.needs import check, checks, judge, row
from moby.plan import Instance, Plan
from moby.registry import discover


@pytest.mark.parametrize(
    ("need", "ok", "detail"),
    [
        pytest.param(HostNeed("binary", "sh"), True, "", id="on the host"),
        pytest.param(HostNeed("binary", "no-such-binary", module="attr"), True, "attr brings it", id="by a package"),
        pytest.param(HostNeed("binary", "no-such-binary", module="no_such_module"), False, "", id="by neither"),
        pytest.param(HostNeed("binary", "no-such-binary", module="no_such.module attr"), True, "attr", id="by another"),
    ],
)
def test_need(need: HostNeed, ok: bool, detail: str) -> None:
    found = judge(need)
    assert found.ok is ok
    assert detail in found.detail


def test_fix_names_the_package() -> None:
    assert "nowhere" in judge(HostNeed("binary", "no-such-binary", package="nowhere")).fix


def test_what_a_part_does_without_is_told_with_what_it_is_for() -> None:
    need = HostNeed("binary", "no-such-binary", package="nowhere", why="what comes so can't be read", optional=True)
    seen = check("images/store", "required", need, judge(need))
    assert (seen["ok"], seen["policy"]) == (False, "recommended")
    shown = row(seen)
    assert shown[2] == "unmet, goes without"
    assert "what comes so can't be read" in shown[3]
    assert "nowhere" in shown[4]
    here = HostNeed("binary", "sh", why="never told", optional=True)
    assert "never told" not in row(check("images/store", "required", here, judge(here)))[3]


@pytest.mark.parametrize(("enclosed", "met"), [(False, [False, True, False]), (True, [True, True, False])])
def test_root_is_what_an_enclosure_brings(instance: Callable[..., Instance], enclosed: bool, met: list[bool]) -> None:
    needs = (HostNeed("privilege", "root"), HostNeed("binary", "sh"), HostNeed("privilege", "king"))
    parts = [instance("base", "a", host=needs)]
    if enclosed:
        parts.insert(0, evolve(instance("base", "pasta"), kind="enclosure"))
    seen = checks(Plan("toy", tuple(parts)), lambda need: Probe(need.what == "binary"))
    assert [each["ok"] for each in seen] == met


@pytest.mark.parametrize(
    "component",
    [
        *[f"network-driver/{kind}" for kind in ("bridge", "overlay", "macvlan", "ipvlan", "cni", "netavark", "plugin")],
        *[f"builder/{kind}" for kind in ("dockerfile", "buildah")],
    ],
)
def test_who_takes_root_says_what_for(component: str) -> None:
    (need,) = (each for each in discover().components[component].host if each.what == "privilege")
    assert need.optional
    assert need.why
