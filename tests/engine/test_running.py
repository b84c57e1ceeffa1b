"""Start order, reverse teardown, undo half-way, policies, and the states that show it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from moby.component import HostNeed
from moby.engine import start
from moby.engine.running import Status
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unsupported
from moby.plan import Plan
from moby.wiring import Missing

Plans = Callable[..., Plan]
NEVER = HostNeed("binary", "no-such-binary-anywhere", package="nowhere")


def test_parts_start_in_order_and_stop_in_reverse(plan: Plans, toys: ModuleType, tmp_path: Path) -> None:
    with start(plan(), tmp_path) as engine:
        started = [f"{each} {name}" for name in ("a", "b", "top") for each in ("make", "start", "go on")]
        assert started == toys.EVENTS
        assert {key: seen.status for key, seen in engine.states().items()} == {
            "engine-part/a": Status.RUNNING,
            "engine-part/b": Status.RUNNING,
            "engine-part/top": Status.RUNNING,
            "command/say": Status.RUNNING,
        }
    assert toys.EVENTS[9:] == ["stop top", "stop b", "stop a"]
    assert engine.states()["engine-part/a"].status is Status.STOPPED


def test_each_gets_its_default_first_and_optional_gets_none(plan: Plans, tmp_path: Path) -> None:
    with start(plan(), tmp_path) as engine:
        assert engine.instances["engine-part/top"].got == (["b", "a"], "a", None)


def test_each_knows_the_versions_of_all(plan: Plans, tmp_path: Path) -> None:
    with start(plan(), tmp_path) as engine:
        known = engine.instances["engine-part/top"].known
        assert known == {each.key: each.facts.version for each in engine.plan.instances}
        assert list(known) == ["engine-part/a", "engine-part/b", "engine-part/top", "command/say"]


@pytest.mark.parametrize("step", ["make", "start"])
def test_failure_half_way_undoes_what_stood(plan: Plans, toys: ModuleType, tmp_path: Path, step: str) -> None:
    with pytest.raises(HostUnfit, match=f"told to fail at {step}"), start(plan(b={"fail": step}), tmp_path):
        pytest.fail("started")
    assert [event for event in toys.EVENTS if event.startswith("stop")] == ["stop a"]
    assert ("engine-part/b", "failed") in toys.CHANGES


def test_teardown_goes_on_past_errors_and_reports_all(plan: Plans, toys: ModuleType, tmp_path: Path) -> None:
    with (
        pytest.raises(ExceptionGroup, match="parts failed to stop") as raised,
        start(plan(b={"fail": "stop"}, top={"fail": "stop"}), tmp_path),
    ):
        pass
    assert len(raised.value.exceptions) == 2
    assert toys.EVENTS[-1] == "stop a"


def test_a_part_that_cannot_go_on_is_told_of(
    plan: Plans, tmp_path: Path, toys: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a program of an earlier day, which knows no such call."""
    with start(plan(b={"fail": "go on"}), tmp_path):
        assert toys.EVENTS[-1] == "go on top"
    assert 'engine-part/b: go_on failed error="told to fail at go on"' in capsys.readouterr().err

    def unknown(part: object) -> None:
        raise Unsupported("the contract engine-part has no method go_on here")

    monkeypatch.setattr(toys.Toy, "go_on", unknown)
    with start(plan(), tmp_path):
        assert capsys.readouterr().err == ""


def test_error_inside_still_stops_everything(plan: Plans, toys: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), start(plan(), tmp_path):
        raise KeyboardInterrupt
    assert toys.EVENTS[-3:] == ["stop top", "stop b", "stop a"]


def test_optional_part_may_fail(plan: Plans, tmp_path: Path) -> None:
    with start(plan(b={"fail": "start"}, b_policy="optional"), tmp_path) as engine:
        assert engine.states()["engine-part/b"].status is Status.FAILED
        assert engine.instances["engine-part/top"].got[0] == ["a"]


def test_part_that_is_skipped_for_this_host_says_why(plan: Plans, tmp_path: Path) -> None:
    with start(plan(b_policy="skip-if-unfit", b_host=(NEVER,)), tmp_path) as engine:
        seen = engine.states()["engine-part/b"]
        assert seen.status is Status.SKIPPED
        assert "no-such-binary-anywhere" in seen.detail


def test_need_that_did_not_start_is_named(plan: Plans, tmp_path: Path) -> None:
    with (
        pytest.raises(Missing, match="engine-part/top needs engine-part/a as 'first'"),
        start(plan(a={"fail": "start"}, a_policy="optional"), tmp_path),
    ):
        pytest.fail("started")


def test_failure_names_unmet_host_needs(plan: Plans, tmp_path: Path) -> None:
    with (
        pytest.raises(HostUnfit, match="no-such-binary-anywhere"),
        start(plan(b={"fail": "start"}, b_host=(NEVER,)), tmp_path),
    ):
        pytest.fail("started")


def test_health_is_asked_of_the_part(plan: Plans, tmp_path: Path) -> None:
    with start(plan(b={"fail": "health"}), tmp_path) as engine:
        seen = engine.states()["engine-part/b"]
        assert (seen.status, seen.detail) == (Status.FAILED, "the disk is full")


def test_open_option_reaches_the_part(plan: Plans, tmp_path: Path) -> None:
    with start(plan(), tmp_path, settings={"engine-part/top": {"count": 3}}) as engine:
        assert engine.instances["engine-part/top"].config.count == 3


def test_option_of_the_wrong_type_is_refused(plan: Plans, tmp_path: Path) -> None:
    with (
        pytest.raises(Invalid, match="engine-part/top"),
        start(plan(), tmp_path, settings={"engine-part/top": {"count": "many"}}),
    ):
        pytest.fail("started")


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        pytest.param("no_such_module_at_all", "base", "can't be imported", id="module"),
        pytest.param("toy_parts", "gone", "no longer has a component", id="component"),
    ],
)
def test_component_that_is_gone_is_named(plan: Plans, tmp_path: Path, module: str, name: str, message: str) -> None:
    from attrs import evolve

    whole = plan()
    first = whole.instances[0]
    broken = evolve(first, facts=evolve(first.facts, module=module, name=name))
    with pytest.raises(NotFound, match=message), start(evolve(whole, instances=(broken,)), tmp_path):
        pytest.fail("started")


def test_plan_from_a_newer_framework_is_refused(plan: Plans, tmp_path: Path) -> None:
    from attrs import evolve

    first = plan().instances[0]
    odd = evolve(first, facts=evolve(first.facts, ambient={"moon": "moon"}))
    with pytest.raises(Invalid, match="asks for 'moon'"), start(Plan("toy", (odd,)), tmp_path):
        pytest.fail("started")


def test_engines_share_a_root_in_the_foreground_but_not_when_alone(plan: Plans, tmp_path: Path) -> None:
    with (
        start(plan(), tmp_path),
        start(plan(), tmp_path),
        pytest.raises(Conflict, match="in use"),
        start(plan(), tmp_path, alone=True),
    ):
        pytest.fail("started")
    with start(plan(), tmp_path, alone=True):
        pass


@pytest.mark.parametrize("written", ["99\n", "soon\n", ""])
def test_state_of_a_newer_engine_is_refused(plan: Plans, tmp_path: Path, written: str) -> None:
    with start(plan(), tmp_path):
        pass
    assert (tmp_path / "state" / "format").read_text() == "1\n"
    (tmp_path / "state" / "format").write_text(written)
    with pytest.raises(Unsupported, match="was written in format"), start(plan(), tmp_path):
        pytest.fail("started")


def test_folder_that_cannot_be_made_is_named(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostUnfit, match="--root"), start(plan(), tmp_path / "file"):
        pytest.fail("started")


def test_watching_plugins_see_every_change(plan: Plans, toys: ModuleType, tmp_path: Path) -> None:
    with start(plan(), tmp_path):
        pass
    assert [state for key, state in toys.CHANGES if key == "engine-part/top"] == [
        "waiting",
        "starting",
        "running",
        "stopped",
    ]


def test_what_format_it_is_is_on_the_disk_before_its_name(
    plan: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was named before its bytes were written is empty after a power cut, and the engine never starts."""
    written = []
    monkeypatch.setattr("os.fsync", lambda fd: written.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    monkeypatch.setattr(Path, "replace", lambda source, target: written.append(f"{source.name} is {target.name}"))
    with start(plan(), tmp_path):
        pass
    fresh = next(each for each in written if each.startswith(".format"))
    assert written[written.index(fresh) + 1] == f"{fresh} is format"
