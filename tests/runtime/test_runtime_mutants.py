"""The conformance suite fails every runtime that breaks one promise."""

import os
import subprocess
import sys

import pytest
import runtime_mutants as mutants
from judging import fails, judge, swept
from moby_runtime.native import console, inside, rootfs
from moby_runtime.native.runtime import Native
from moby_runtime.programs import program

from moby.host import mounts, processes
from moby.testing.boxes import children

ENV = ["PATH=/bin", "A=1", "B=two words", "C="]
CAP_KILL = {"bounding": ["CAP_KILL"]}
UPTIME = {"path": "/proc/uptime", "probe": "cat /proc/uptime"}
IRQ = {"path": "/proc/irq", "probe": "ls /proc/irq"}
ORDER = "test_mounts_are_in_order_and_have_their_options"


def plain_mounts(data):
    for each in data["mounts"][4:]:
        del each["options"]


def executable_mounts(data):
    for each in data["mounts"][4:]:
        each["options"].remove("noexec")


def writable_binds(data):
    for each in data["mounts"]:
        if each["destination"] == "/ro":
            each["options"].remove("ro")


def open_anywhere(fd, path, flags=os.O_PATH, mode=0):
    return os.open(path.lstrip("/") or ".", flags, dir_fd=fd)


ROWS = [
    (mutants.Eager, "test_create_runs_nothing_of_the_user", {}),
    (mutants.AlwaysRunning, "test_created_running_stopped", {}),
    (mutants.KeepsPid, "test_created_running_stopped", {}),
    (mutants.NoAnnotations, "test_created_running_stopped", {}),
    (mutants.with_field(["true"], "process", "args"), "test_exit_code_is_the_programs", {"code": 42}),
    (mutants.with_field(["true"], "process", "args"), "test_exit_descriptor_is_quiet_while_it_runs", {}),
    (mutants.Replacing, "test_a_second_of_the_same_id_is_a_conflict", {}),
    (mutants.LeavesFolder, "test_an_id_is_free_again_after_delete", {}),
    (mutants.StartsAgain, "test_starting_twice_is_a_conflict", {}),
    (mutants.StartsAgain, "test_starting_a_stopped_one_is_a_conflict", {}),
    (mutants.StartsAnything, "test_a_program_that_cannot_run_is_invalid", {"program": "absent"}),
    (mutants.DeletesNobody, "test_an_unknown_id_is_not_found", {"call": "delete"}),
    (mutants.Unsorted, "test_list_is_sorted_and_whole", {}),
    (mutants.ListsNothing, "test_list_is_sorted_and_whole", {}),
    (mutants.Forgetful, "test_another_instance_on_the_same_folder_goes_on", {}),
    (mutants.NeverKills, "test_kill_delivers_the_signal", {}),
    (mutants.OtherSignal, "test_kill_delivers_the_signal", {}),
    (mutants.KillsAll, "test_kill_is_for_the_first_process_alone", {}),
    (mutants.KillsOne, "test_kill_everyone", {}),
    (mutants.KillsTheDead, "test_killing_a_stopped_one_is_a_conflict", {}),
    (mutants.ZombiesLive, "test_a_zombie_counts_as_stopped", {}),
    (mutants.DeletesAnything, "test_deleting_what_runs_is_a_conflict", {}),
    (mutants.DeletesAnything, "test_deleting_what_is_created_is_a_conflict", {}),
    (mutants.StrictForce, "test_delete_by_force_of_nothing_is_fine", {}),
    (mutants.LeavesFolder, "test_delete_leaves_nothing_in_the_folder", {}),
    (mutants.OnlyFirstPid, "test_pids_are_those_inside", {}),
    (mutants.CallersPids, "test_pids_are_those_inside", {}),
    (mutants.PidsOfTheDead, "test_pids_of_a_stopped_one_are_none", {}),
    (mutants.WrongKindOfError, "test_what_is_not_there_is_not_found", {"lost": "rootfs"}),
    (mutants.WrongKindOfError, "test_a_wrong_configuration_is_invalid", {"text": "{", "named": ""}),
    (mutants.Vague, "test_a_field_that_is_lacking_is_refused_by_name", {}),
    (mutants.Permissive, "test_a_field_that_is_lacking_is_refused_by_name", {}),
    (mutants.LeavesRecord, "test_a_mount_that_fails_leaves_nothing", {}),
    (mutants.LeavesProcess, "test_a_mount_that_fails_leaves_nothing", {}),
    (mutants.LeavesDescriptor, "test_it_is_process_1", {}),
    (mutants.without_namespace("pid"), "test_it_is_process_1", {}),
    (mutants.without_namespace("uts"), "test_the_host_name_is_its_own", {}),
    (mutants.without_namespace("network"), "test_namespaces_are_its_own", {"name": "net"}),
    (mutants.without_namespace("ipc"), "test_namespaces_are_its_own", {"name": "ipc"}),
    (mutants.with_field("/", "root", "path"), "test_the_root_is_its_own", {}),
    (mutants.without_namespace("pid"), "test_there_are_no_other_processes", {}),
    (mutants.without("root", "readonly"), "test_a_root_that_is_readonly", {}),
    (mutants.with_field(["sh", "-c", "echo $*"], "process", "args"), "test_arguments_are_exact", {}),
    (mutants.with_field(["PATH=/bin"], "process", "env"), "test_the_environment_is_exact", {}),
    (mutants.with_field("/", "process", "cwd"), "test_the_working_folder", {}),
    (mutants.with_field("/", "process", "cwd"), "test_a_working_folder_that_is_not_there", {}),
    (mutants.Deaf, "test_standard_input_reaches_it", {}),
    (mutants.with_field(CAP_KILL, "process", "capabilities"), "test_no_capability_unless_asked_for", {}),
    (mutants.without("process", "noNewPrivileges"), "test_no_new_privileges", {}),
    (mutants.with_field({"uid": 0, "gid": 0}, "process", "user"), "test_user_and_groups", {}),
    (mutants.without("process", "rlimits"), "test_limits_of_the_process", {}),
    (mutants.without("linux", "maskedPaths"), "test_masked_paths_are_empty", UPTIME),
    (mutants.without("linux", "maskedPaths"), "test_masked_paths_are_empty", IRQ),
    (mutants.without("linux", "readonlyPaths"), "test_readonly_paths", {}),
    (mutants.configured(lambda data: data["mounts"].reverse()), ORDER, {}),
    (mutants.configured(plain_mounts), ORDER, {}),
    (mutants.configured(writable_binds), "test_a_bind_mount_and_a_readonly_one", {}),
    (mutants.Boastful, "test_features_have_names_of_the_contract", {}),
    (mutants.NoVersions, "test_programs_have_names_and_versions", {}),
    (mutants.configured(executable_mounts), "test_noexec", {}),
    (mutants.with_field([*ENV, "PWD=/etc"], "process", "env"), "test_the_environment_is_exact", {}),
    (mutants.with_field([*ENV, "PWD=/tmp", "D=1"], "process", "env"), "test_the_environment_is_exact", {}),
    (mutants.without("linux", "seccomp"), "test_seccomp", {}),
    (mutants.ExecOutside, "test_exec", {}),
    (mutants.exec_with(cwd="/"), "test_exec", {}),
    (mutants.exec_with(env=["PATH=/bin"]), "test_exec", {}),
    (mutants.exec_with(capabilities={"bounding": ["CAP_KILL"]}), "test_exec_has_the_capabilities_asked_for", {}),
    (mutants.ExecHidden, "test_exec_is_among_the_pids", {}),
    (mutants.exec_with(args=["true"]), "test_exec_of_what_is_not_there_is_invalid", {}),
    (mutants.ExecAnywhen, "test_exec_wants_a_running_one", {"state": "created"}),
    (mutants.ExecAnywhen, "test_exec_wants_a_running_one", {"state": "unknown"}),
    (mutants.NeverPauses, "test_pause_and_resume", {}),
    (mutants.NeverResumes, "test_pause_and_resume", {}),
    (mutants.PausesAnything, "test_pause_wants_a_running_one_and_resume_a_paused_one", {}),
    (mutants.KillsNoFrozen, "test_a_paused_one_can_be_killed", {}),
    (mutants.without("linux", "resources"), "test_a_limit_of_processes", {}),
    (mutants.with_field({"pids": {"limit": 9}}, "linux", "resources"), "test_a_limit_of_memory", {}),
    (mutants.NeverUpdates, "test_update", {}),
    (mutants.NeverUpdates, "test_update_refuses_by_name", {}),
    (mutants.without_namespace("user"), "test_user_namespace", {}),
    (mutants.without_namespace("user"), "test_an_ordinary_user", {}),
    (mutants.LeavesGroup, "test_it_is_process_1", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mutant", "test", "arguments"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[1].removeprefix('test_')}") for row in ROWS],
)
def test_the_suite_fails_a_broken_runtime(mutant, test, arguments, root, tmp_path, monkeypatch) -> None:
    fails(mutants.over(mutant, Native), root, test, arguments, tmp_path, monkeypatch)


ALONE = "MOBY_TEST_ALONE"
INSIDE = [
    (processes, "close_other_descriptors", lambda keep: None, "test_no_descriptor_of_the_caller_leaks", {}),
    (processes, "close_other_descriptors", lambda keep: None, "test_a_created_container_holds_none_either", {}),
    (program.capabilities, "drop_bounding", lambda keep: None, "test_capabilities_are_those_asked_for", {}),
    (rootfs, "make_devices", lambda root, console: None, "test_default_devices", {}),
    (console, "take", lambda console, open_below: None, "test_terminal", {}),
    (program, "take_terminal", lambda process: None, "test_terminal_controls_it", {}),
    (inside, "await_release", lambda channel: not os.read(channel.release, 1),
     "test_groups_of_the_caller_are_gone", {}),
    (mounts, "open_in_root", open_anywhere, "test_a_link_in_the_image_leads_nowhere_else", {"link": "absolute"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "name", "value", "test", "arguments"), [pytest.param(*row, id=f"{row[1]}-{row[3]}") for row in INSIDE]
)
def test_the_suite_fails_broken_insides(owner, name, value, test, arguments, root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(owner, name, value)
    fails(Native, root, test, arguments, tmp_path, monkeypatch)


def bind_and_forget(folder):
    rootfs.bind(str(folder), os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


def enter_anything(process):
    os.chdir(process.cwd)


def test_the_suite_fails_a_way_out_by_descriptor() -> None:
    """In a process of its own, since what other tests have done to this one changes which descriptors are free."""
    test = f"{__file__}::test_in_a_process_of_its_own"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "120", test]
    done = subprocess.run(command, env={**os.environ, ALONE: "1"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.skipif(ALONE not in os.environ, reason="is run by the test before, in a process of its own")
def test_in_a_process_of_its_own(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rootfs, "_bind_onto_itself", bind_and_forget)
    monkeypatch.setattr(program, "_enter", enter_anything)
    monkeypatch.setattr(processes, "close_other_descriptors", lambda keep: None)
    test = "test_a_descriptor_as_working_folder_is_no_way_out"
    with pytest.raises(AssertionError, match="assert"), swept(children(), monkeypatch):
        judge(Native, root, test, {"folder": "/proc/self/fd"}, tmp_path)
