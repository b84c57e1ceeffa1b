"""The conformance suite fails every runtime that breaks one promise about a feature."""

from pathlib import Path

import feature_mutants as mutants
import pytest
from guests.cover import needs
from judging import fails
from moby_runtime.native import console, seccomp
from moby_runtime.native.runtime import Native
from runtime_mutants import ExecAnywhen, configured, exec_with, hiding, over, with_field, without

SOME = {"destination": "/in", "type": "tmpfs", "source": "t"}
REFUSALS = {
    "checkpoint": ("test_checkpoint_is_refused_unless_offered", {}),
    "cgroups": ("test_limits_are_refused_unless_offered", {}),
    "exec": ("test_exec_is_refused_unless_offered", {}),
    "extra-fds": ("test_more_descriptors_are_refused_unless_offered", {}),
    "hooks": ("test_hooks_are_refused_unless_offered", {}),
    "joining": ("test_joining_is_refused_unless_offered", {}),
    "mounts": ("test_mounts_are_refused_unless_offered", {"named": "mounts", "change": {"mounts": [SOME]}}),
    "namespaces": ("test_namespaces_are_refused_unless_offered", {"name": "pid"}),
    "noexec": ("test_noexec_is_refused_unless_offered", {}),
    "oom": ("test_oom_is_refused_unless_offered", {}),
    "pause": ("test_pause_is_refused_unless_offered", {"call": "resume"}),
    "seccomp": ("test_seccomp_is_refused_unless_offered", {}),
    "stats": ("test_stats_are_refused_unless_offered", {}),
    "terminal": ("test_terminal_is_refused_unless_offered", {}),
    "timens": ("test_a_clock_of_its_own_is_refused_unless_offered", {}),
    "update": ("test_update_is_refused_unless_offered", {}),
    "userns": ("test_user_namespace_is_refused_unless_offered", {}),
    "users": ("test_other_users_are_refused_unless_offered", {}),
}


@pytest.mark.parametrize("feature", sorted(Native.features - {"rootless"}))
def test_the_suite_fails_who_does_what_it_does_not_offer(feature, root, tmp_path, monkeypatch) -> None:
    fails(over(hiding(feature), Native), root, *REFUSALS[feature], tmp_path, monkeypatch)


ORDER = "test_hooks_run_in_their_order_and_places"
STATE = "test_hooks_read_the_state"
UNDOES = "test_a_hook_that_fails_undoes_the_container"
ENDS = "test_a_hook_that_fails_at_the_start_ends_the_container"
IN_STATE = "test_calls_in_a_state"
STATS = "test_stats"
OOM = "test_oom_kills_are_told"
ALL = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def keyed(name, change):
    def apply(data):
        data["linux"]["resources"][name] = change(data["linux"]["resources"].get(name))

    return configured(apply)


ROWS = [
    *((mutants.without_hooks(name), ORDER, {}) for name in ALL),
    *((mutants.without_hooks(name), STATE, {}) for name in ALL),
    (mutants.hooked(mutants.reversed_hooks), ORDER, {}),
    (mutants.hooked(mutants.only_first), ORDER, {}),
    (mutants.moved_hooks("createRuntime", "prestart"), ORDER, {}),
    (mutants.moved_hooks("createRuntime", "createContainer"), ORDER, {}),
    (mutants.moved_hooks("createContainer", "createRuntime"), ORDER, {}),
    (mutants.moved_hooks("createContainer", "startContainer"), ORDER, {}),
    (mutants.moved_hooks("startContainer", "poststart"), ORDER, {}),
    (mutants.moved_hooks("poststart", "poststop"), ORDER, {}),
    (without("annotations"), STATE, {}),
    (mutants.plain_hooks("env"), "test_a_hook_has_its_own_arguments_and_environment", {}),
    (mutants.plain_hooks("args"), "test_a_hook_has_its_own_arguments_and_environment", {}),
    *((mutants.hooked(mutants.forgiven), UNDOES, {"name": name}) for name in ALL[:3]),
    *((mutants.without_hooks("poststop"), UNDOES, {"name": name}) for name in ALL[:3]),
    (mutants.hooked(mutants.go_on_after_failures), UNDOES, {"name": "createRuntime"}),
    (mutants.hooked(mutants.only_first), "test_a_hook_that_is_not_there_is_named", {}),
    *((mutants.hooked(mutants.forgiven), ENDS, {"name": name}) for name in ALL[3:5]),
    *((mutants.without_hooks("poststop"), ENDS, {"name": name}) for name in ALL[3:5]),
    *((mutants.StartKeeps, ENDS, {"name": name}) for name in ALL[3:5]),
    (mutants.LastHooksMatter, "test_a_hook_that_fails_at_the_end_is_passed_over", {}),
    (mutants.hooked(mutants.only_first), "test_a_hook_that_fails_at_the_end_is_passed_over", {}),
    (mutants.hooked(mutants.forgiven), "test_a_hook_whose_time_is_up_fails", {}),
    (mutants.without_hooks("poststop"), "test_poststop_hooks_run_at_a_forced_delete", {}),
    (mutants.forgiving("resume"), IN_STATE, {"state": "created"}),
    (mutants.forgiving("pause"), IN_STATE, {"state": "created"}),
    (ExecAnywhen, IN_STATE, {"state": "created"}),
    (mutants.forgiving("delete"), IN_STATE, {"state": "created"}),
    (mutants.forgiving("delete"), IN_STATE, {"state": "running"}),
    (mutants.forgiving("start"), IN_STATE, {"state": "running"}),
    (mutants.forgiving("resume"), IN_STATE, {"state": "running"}),
    (mutants.forgiving("start"), IN_STATE, {"state": "paused"}),
    (mutants.forgiving("pause"), IN_STATE, {"state": "paused"}),
    (ExecAnywhen, IN_STATE, {"state": "paused"}),
    *(
        (mutants.forgiving(call), IN_STATE, {"state": "stopped"})
        for call in ("watch_oom", "update", "resume", "pause", "kill", "start")
    ),
    *(
        (mutants.forgiving(call), IN_STATE, {"state": "unknown"})
        for call in ("state", "pids", "stats", "watch_oom", "update", "pause", "resume", "kill", "start")
    ),
    (ExecAnywhen, IN_STATE, {"state": "stopped"}),
    (ExecAnywhen, IN_STATE, {"state": "unknown"}),
    (mutants.VagueAboutState, IN_STATE, {"state": "created"}),
    (mutants.LeavesKilled, "test_a_created_one_can_be_killed_and_deleted", {}),
    (mutants.counting(time_ns=0), STATS, {}),
    (mutants.counting(cpu_ns=lambda found: found.cpu_ns // 10**6), STATS, {}),
    (mutants.counting(memory_bytes=0), STATS, {}),
    (mutants.counting(memory_limit_bytes=0), STATS, {}),
    (mutants.counting(pids_limit=None), STATS, {}),
    (mutants.counting(oom_kills=1), STATS, {}),
    (mutants.counting(pids=lambda found: found.pids + 1), STATS, {}),
    (mutants.counting(memory_limit_bytes=None), "test_stats_without_limits", {}),
    (mutants.CountsAll, "test_stats_tell_of_each_container_alone", {}),
    (mutants.counting(cpu_ns=0), "test_stats_of_a_stopped_one_are_those_at_its_end", {}),
    (mutants.counting(pids=1), "test_stats_of_a_stopped_one_are_those_at_its_end", {}),
    (mutants.NeverTellsOfOom, OOM, {}),
    (mutants.OneWatcher, OOM, {}),
    (mutants.InheritedWatch, OOM, {}),
    (mutants.counting(oom_kills=0), OOM, {}),
    (mutants.AlwaysTellsOfOom, "test_oom_watch_is_quiet_while_there_is_enough", {}),
    (mutants.NeverTellsOfOom, "test_oom_watch_is_quiet_while_there_is_enough", {}),
    (mutants.updating(lambda given: {}), "test_update_of_memory_and_cpu", {}),
    (mutants.updating(lambda given: {"pids": {"limit": 0}, **given}), "test_update_of_memory_and_cpu", {}),
    (keyed("devices", lambda rules: rules[:1]), "test_rules_for_devices", {"allowed": True}),
    (keyed("devices", lambda rules: [{"allow": True, "access": "rwm"}]), "test_rules_for_devices", {"allowed": False}),
    (mutants.updating(lambda given: {}), "test_update_of_rules_for_devices", {}),
    (mutants.updating(lambda given: {"devices": [{"allow": True, "access": "rwm"}]}),
     "test_update_of_rules_for_devices", {}),
    (mutants.JoinsNothing, "test_a_namespace_can_be_joined", {"kind": "network", "name": "net"}),
    (mutants.JoinsNothing, "test_a_namespace_can_be_joined", {"kind": "pid", "name": "pid"}),
    (mutants.joining_but("ipc"), "test_several_namespaces_can_be_joined", {}),
    (mutants.JoinsNothing, "test_a_namespace_that_is_not_there_is_named", {}),
    (mutants.JoinsNothing, "test_a_namespace_of_another_type_is_refused", {}),
    (configured(mutants.first_mapping), "test_several_mappings", {}),
    (without("linux", "timeOffsets"), "test_a_clock_of_its_own", {}),
    (configured(mutants.unmapped), "test_a_program_is_its_user_outside_too", {}),
    (without("process", "consoleSize"), "test_terminal_has_the_size_asked_for", {}),
    (mutants.InheritedTerminal, "test_terminal_has_the_size_asked_for", {}),
    (mutants.KeepsTheTerminal, "test_terminal_hangs_up", {}),
    (mutants.TerminalAsYouLike, "test_terminal_for_one_side_alone_is_invalid", {"one": "caller"}),
    (mutants.TerminalAsYouLike, "test_terminal_for_one_side_alone_is_invalid", {"one": "configuration"}),
    (mutants.HostsTerminal, "test_exec_with_a_terminal", {}),
    (mutants.HostsTerminal, "test_exec_in_one_that_has_a_terminal", {}),
    (mutants.streaming(lambda given: mutants.evolve(given, extra=())), "test_more_descriptors", {}),
    (mutants.streaming(lambda given: mutants.evolve(given, extra=given.extra[::-1] + given.extra)),
     "test_more_descriptors", {}),
    (mutants.streaming(lambda given: mutants.evolve(given, extra=())), "test_exec_with_more_descriptors", {}),
    (without("linux", "seccomp"), "test_seccomp", {}),
    (mutants.without_rule_field("errnoRet"), "test_seccomp_with_an_error_of_its_own", {}),
    (mutants.filtering(mutants.only_refusing), "test_seccomp_that_kills", {}),
    (mutants.without_rule_field("args"), "test_seccomp_by_argument", {}),
    (mutants.filtering(mutants.sensible), "test_seccomp_that_makes_no_sense_is_invalid",
     {"change": {"defaultAction": "SCMP_ACT_DANCE"}, "named": "DANCE"}),
    (mutants.filtering(mutants.sensible), "test_seccomp_that_makes_no_sense_is_invalid",
     {"change": {"architectures": ["SCMP_ARCH_ABACUS"]}, "named": "ABACUS"}),
    (mutants.NoCause, "test_a_program_that_cannot_run_is_invalid", {"program": "/etc/passwd"}),
    (mutants.NoCause, "test_a_pipe_as_program_is_invalid_and_not_waited_for", {}),
    (with_field(["PATH=/bin"], "process", "env"), "test_a_home_that_is_given_is_the_programs", {}),
    (exec_with(terminal=False), "test_exec_with_a_terminal", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mutant", "test", "arguments"),
    [
        pytest.param(*row, id=f"{number}-{row[0].__name__}-{row[1].removeprefix('test_')}")
        for number, row in enumerate(ROWS)
    ],
)
def test_the_suite_fails_a_broken_feature(mutant, test, arguments, root, tmp_path, monkeypatch) -> None:
    if test == "test_a_clock_of_its_own":
        needs(Path("/proc/self/ns/time").exists(), "time namespaces", "qemu")
    fails(over(mutant, Native), root, test, arguments, tmp_path, monkeypatch)


INSIDE = [
    (seccomp, "restored", lambda record: None, "test_seccomp_holds_for_exec"),
    (console.terminals, "receive", lambda sender: -1, "test_terminal"),
]


@pytest.mark.parametrize(("owner", "name", "value", "test"), INSIDE, ids=[f"{row[1]}-{row[3]}" for row in INSIDE])
def test_the_suite_fails_broken_insides(owner, name, value, test, root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(owner, name, value)
    fails(Native, root, test, {}, tmp_path, monkeypatch)


def test_who_judges_knows_a_test_that_is_not_there(root, tmp_path, monkeypatch) -> None:
    with pytest.raises(AttributeError):
        fails(Native, root, "test_nothing", {}, tmp_path, monkeypatch)
    with pytest.raises(AssertionError, match="wants"):
        fails(Native, root, IN_STATE, {}, tmp_path, monkeypatch)


def test_who_judges_fails_a_runtime_that_keeps_its_promises(root, tmp_path, monkeypatch) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        fails(Native, root, "test_it_is_process_1", {}, tmp_path, monkeypatch)
