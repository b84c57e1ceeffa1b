"""The conformance suite fails a runtime over LXC, or of jails, that breaks one promise, as it fails the native one."""

import inspect
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from judging import fails, judge, swept
from moby_runtime.cgroup import FEATURES as CGROUP
from moby_runtime.chroot import FEATURES as CHROOT
from moby_runtime.jails.runtime import Jails
from moby_runtime.lxc import FEATURES as LXC
from moby_runtime.lxc.runtime import Lxc
from runtime.lxc_library import need
from runtime.test_feature_mutants import ROWS as OF_FEATURES
from runtime.test_runtime_mutants import ROWS as OF_ALL
from runtime_mutants import LeavesGroup, over, with_field

from moby.contracts.runtime import RuntimeFeature
from moby.testing.boxes import children
from moby.testing.mounted import own_mounts
from moby.testing.runtime import MakeRuntime, RuntimeSuite
from moby.testing.runtime_states import CALLS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="these runtimes are for root alone; runs as root"),
]
KINDS = {"chroot": CHROOT, "cgroup": CGROUP, "lxc": LXC}
OPEN = {
    ("lxc", "test_stats_of_a_stopped_one_are_those_at_its_end"),
    ("lxc", "test_the_root_is_its_own"),
}
"""What the contract leaves open, as LXC takes control groups away at a container's end; and what has a test of its own,
as LXC would make places for mounts in the host's root."""
ROWS = (*OF_ALL, *OF_FEATURES, (LeavesGroup, "test_a_limit_of_processes", {}))


def wanted(mutant, test, arguments):
    """Return the features without which a test is left out, or has nothing of what a mutant breaks."""
    text = inspect.getsource(getattr(RuntimeSuite, test))
    names = re.findall(r"lacks\(boxes, RuntimeFeature\.(\w+)\)", text)
    found = {getattr(RuntimeFeature, name) for name in names}
    if arguments.get("state") == "paused":
        found.add(RuntimeFeature.PAUSE)
    return found | {CALLS[each][0] for each in mutant.calls} - {""}


def rows():
    for kind, features in KINDS.items():
        for number, row in enumerate(ROWS):
            if wanted(*row) <= set(features) and (kind, row[1]) not in OPEN:
                name = f"{kind}-{number}-{row[0].__name__}-{row[1].removeprefix('test_')}"
                yield pytest.param(kind, *row, id=name)


@pytest.fixture
def maker() -> Iterator[MakeRuntime]:
    """What makes a mutant of a kind; what LXC's keep besides their folders goes at the end."""
    made = []

    def make(kind, mutant, place):
        if kind == "lxc":
            made.append(over(mutant, Lxc)(place, need()))
            return made[-1]
        return over(mutant, Jails)(place, kind, KINDS[kind])

    yield make
    for each in made:
        Lxc.reclaim(each)


@pytest.mark.parametrize(("kind", "mutant", "test", "arguments"), tuple(rows()))
def test_the_suite_fails_another_broken_runtime(
    kind, mutant, test, arguments, maker, root, tmp_path, monkeypatch
) -> None:
    fails(lambda place: maker(kind, mutant, place), root, test, arguments, tmp_path, monkeypatch)


def test_the_suite_fails_a_root_that_is_the_host_s(maker, root, tmp_path, monkeypatch) -> None:
    """Over LXC; what it makes there is made in memory above it."""
    over_it = tmp_path / "over"
    parts = [over_it / name for name in ("root", "upper", "work")]
    with own_mounts():
        for each in (over_it, *parts):
            each.mkdir()
            if each is over_it:
                subprocess.run(["mount", "-t", "tmpfs", "none", each], check=True)
        layers = f"lowerdir=/,upperdir={parts[1]},workdir={parts[2]}"
        subprocess.run(["mount", "-t", "overlay", "none", "-o", layers, parts[0]], check=True)
        careless = with_field(str(parts[0]), "root", "path")
        with pytest.raises(AssertionError, match="assert not"), swept(children(), monkeypatch):
            judge(lambda place: maker("lxc", careless, place), root, "test_the_root_is_its_own", {}, tmp_path)
