"""Rules by table: what is refused and in which words, what an image adds, what limits come to, how ps is read."""

import os
from pathlib import Path

import pytest
from attrs import evolve
from moby_containers.engine import changing, checks, names, processes, states
from moby_containers.engine.codec import decode, encode
from moby_containers.engine.devices import mapped_devices, numbers_of
from moby_containers.engine.failures import exit_code
from moby_containers.engine.limits import limits_of, rlimits_of
from moby_containers.engine.merge import effective_health, merged
from moby_containers.engine.points import check_mount
from moby_containers.engine.warnings import warnings_of

from moby.contracts.containers import (
    ContainerConfig,
    DeviceMapping,
    DeviceRequest,
    DeviceWeight,
    MountRequest,
    PortBinding,
    Resources,
    RestartPolicy,
    Status,
    Ulimit,
)
from moby.contracts.images import ImageConfig
from moby.contracts.supervisor import HealthCheck
from moby.contracts.types import Window
from moby.errors import Conflict, HostUnfit, Invalid, Problem
from moby.host.cgroup_support import Support, support
from moby.host.cgroups import Hierarchy
from moby.oci.programs import telling

DOCS = Path(__file__).parents[2] / "docs/containers.md"
ALL = Support(**dict.fromkeys(Support().__dict__, True))


def test_the_documents_show_the_table_of_states():
    assert states.drawn() in DOCS.read_text(encoding="utf-8")


def test_what_is_not_in_the_table_cannot_be():
    assert states.after(Status.CREATED, states.Act.START) is Status.RUNNING
    with pytest.raises(Conflict, match="a container that is dead can't do this: pause"):
        states.after(Status.DEAD, states.Act.PAUSE)


def test_every_status_can_be_reached_and_left():
    reached = set(states.NEXT.values()) | {Status.CREATED}
    assert reached == set(Status)
    assert {status for status, _ in states.NEXT} == set(Status)


IMAGE = ImageConfig(
    entrypoint=("/entry",), command=("of", "image"), environment=("A=image", "B=image"), user="u",
    working_directory="/w", stop_signal="SIGQUIT", labels={"l": "image", "m": "image"}, exposed_ports=("80/tcp",),
    volumes=("/v",), healthcheck={"Test": ["CMD", "look"], "Interval": 7, "Retries": 4},
)  # fmt: skip


@pytest.mark.parametrize(
    ("entrypoint", "command", "found"),
    [
        (None, None, (("/entry",), ("of", "image"))),
        (None, ("own",), (("/entry",), ("own",))),
        (("/own",), None, (("/own",), None)),
        (("/own",), ("x",), (("/own",), ("x",))),
        ((), ("x",), ((), ("x",))),
        (("",), ("x",), (None, ("x",))),
        ((), None, ((), ("of", "image"))),
    ],
)
def test_program(entrypoint, command, found):
    whole = merged(ContainerConfig("i", command, entrypoint), IMAGE)
    assert (whole.entrypoint, whole.command) == found


def test_no_program():
    with pytest.raises(Invalid, match="no command specified"):
        merged(ContainerConfig("i"), ImageConfig())


def test_what_an_image_adds():
    whole = merged(ContainerConfig("i", environment=("B=own",), labels={"l": "own"}, exposed_ports=("1/udp",)), IMAGE)
    assert whole.environment == ("B=own", "A=image")
    assert whole.labels == {"l": "own", "m": "image"}
    assert (whole.user, whole.working_directory, whole.stop_signal) == ("u", "/w", "SIGQUIT")
    assert (whole.exposed_ports, whole.volumes) == (("1/udp", "80/tcp"), ("/v",))


def test_a_port_without_a_protocol_is_one_of_tcp():
    whole = merged(ContainerConfig("i", exposed_ports=("99", "80", "1/udp")), IMAGE)
    assert whole.exposed_ports == ("99/tcp", "80/tcp", "1/udp")


def test_health_of_both():
    zeros = {"interval_ns": 0, "timeout_ns": 0, "retries": 0, "start_interval_ns": 0}
    whole = merged(ContainerConfig("i", health=HealthCheck((), **{**zeros, "timeout_ns": 9})), IMAGE)
    found = effective_health(whole.health)
    assert (found.test, found.interval_ns, found.timeout_ns, found.retries) == (("CMD", "look"), 7, 9, 4)
    assert found.start_interval_ns == 7, "no longer than the interval"
    assert effective_health(HealthCheck(("CMD", "x"))).start_interval_ns == 5_000_000_000
    assert effective_health(HealthCheck(("CMD", "x"), 7, start_interval_ns=9)).start_interval_ns == 9
    assert effective_health(merged(ContainerConfig("i", health=HealthCheck(("NONE",))), IMAGE).health) is None
    assert effective_health(None) is None


@pytest.mark.parametrize(
    ("asked", "run"),
    [
        pytest.param(("CMD-SHELL", "true"), ("CMD-SHELL", "true"), id="a line"),
        pytest.param(("CMD-SHELL", "echo $0", "x"), ("CMD", "/bin/sh", "-c", "echo $0", "x"), id="words after a line"),
        pytest.param(("CMD-SHELL",), ("CMD", "/bin/sh", "-c"), id="no line"),
        pytest.param(("CMD", "a", "b"), ("CMD", "a", "b"), id="a program"),
    ],
)
def test_the_words_of_a_health_check(asked, run):
    checks.check(ContainerConfig("i", ("x",), health=HealthCheck(asked)))
    assert effective_health(HealthCheck(asked)).test == run


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hostname": "ü" * 33}, "invalid hostname format: ü"),
        ({"hostname": "\ud800"}, "invalid hostname format: "),
        ({"hostname": "a\nb"}, "invalid hostname format: a"),
        ({"hostname": "a" * 65}, "invalid hostname format: a"),
        ({"storage_options": {"size": "1G"}}, "--storage-opt is supported only for"),
        ({"cap_drop": ("cap_odd",)}, 'invalid CapDrop: unknown capability: "CAP_ODD"'),
        ({"environment": ("=x",)}, "invalid environment variable: =x"),
        ({"uts_mode": "host", "hostname": "a"}, "conflicting options: hostname and the UTS mode"),
        ({"stop_signal": "SIGNONE"}, "invalid signal: SIGNONE"),
        ({"health": HealthCheck(("CMD", "x"), interval_ns=5)}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"health": HealthCheck(("CMD", "x"), retries=-1)}, "Retries in Healthcheck cannot be negative"),
        ({"health": HealthCheck(("ODD",))}, 'Unknown type "ODD" in Healthcheck'),
        ({"health": HealthCheck(("CMD",))}, "the health check CMD has no command"),
        ({"health": HealthCheck(("TCP",))}, "the health check TCP takes one word, not 0"),
        ({"health": HealthCheck(("HTTP", "http://localhost", "x"))}, "the health check HTTP takes one word, not 2"),
        ({"restart": RestartPolicy("odd")}, "unknown policy 'odd'"),
        ({"restart": RestartPolicy("always", 3)}, "maximum retry count can only be used with 'on-failure'"),
        ({"restart": RestartPolicy("on-failure", -1)}, "maximum retry count cannot be negative"),
        ({"restart": RestartPolicy("no", -1)}, "maximum retry count cannot be negative"),
        ({"restart": RestartPolicy("always", delay_ns=-1)}, "delay_ns cannot be negative"),
        ({"restart": RestartPolicy("always", attempts=-1)}, "attempts cannot be negative"),
        ({"restart": RestartPolicy("always", window_ns=-1)}, "window_ns cannot be negative"),
        ({"shm_size_bytes": -1}, "SHM size can not be less than 0"),
        ({"extra_hosts": ("db",)}, 'bad format for add-host: "db"'),
        ({"extra_hosts": (":10.0.0.1",)}, 'bad format for add-host: ":10.0.0.1"'),
        ({"extra_hosts": ("db:bogus",)}, 'invalid IP address in add-host: "bogus"'),
        ({"extra_hosts": ("db:",)}, 'invalid IP address in add-host: ""'),
        ({"security_options": ("systempaths=odd",)}, "invalid --security-opt 2"),
        ({"security_options": ("no-new-privileges=maybe",)}, 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ({"security_options": ("no-new-privileges:",)}, "invalid --security-opt 2"),
    ],
)
def test_refused(change, words):
    with pytest.raises(Invalid, match=words):
        checks.check(ContainerConfig("i", ("x",), **change))


@pytest.mark.parametrize("name", ["my_service", "a.b-c", "x" * 64])
def test_hostnames(name):
    checks.check(ContainerConfig("i", ("x",), hostname=name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory_bytes": 1}, "Minimum memory limit allowed is 6MB"),
        ({"memory_bytes": 8 << 20, "memory_swap_bytes": 7 << 20}, "Minimum memoryswap limit should be larger"),
        ({"memory_swap_bytes": 7 << 20}, "You should always set the Memory limit when using Memoryswap limit"),
        ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"memory_reservation_bytes": 1}, "Minimum memory reservation allowed is 6MB"),
        ({"memory_bytes": 8 << 20, "memory_reservation_bytes": 9 << 20}, "can not be less than memory reservation"),
        ({"nano_cpus": 1, "cpu_quota_us": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"nano_cpus": 1, "cpu_period_us": 5000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"nano_cpus": 10**15}, "Range of CPUs is from 0.01 to"),
        ({"nano_cpus": 9_999_999}, "Range of CPUs is from 0.01 to"),
        ({"cpu_shares": -1}, "invalid CPU shares"),
        ({"cpu_period_us": 1}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota_us": 1}, "CPU cfs quota can not be less than 1ms"),
        ({"cpuset_cpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"cpuset_cpus": "3-1"}, "Invalid value 3-1 for cpuset cpus"),
        ({"cpuset_cpus": "5000"}, "Requested CPUs are not available - requested 5000"),
        ({"cpuset_mems": "5000"}, "Requested memory nodes are not available"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"blkio_weight_devices": (DeviceWeight("/dev/x", 5),)}, "Range of blkio weight is from 10 to 1000"),
        (
            {"device_requests": (DeviceRequest("nvidia", capabilities=(("gpu", "video"), ("x",))),)},
            r'could not select device driver "nvidia" with capabilities: \[\[gpu video\] \[x\]\]$',
        ),
        ({"ulimits": (Ulimit("nofile", -1, 5),)}, "ulimit soft limit must be less"),
    ],
)
def test_refused_limits(change, words):
    with pytest.raises(Invalid, match=words):
        checks.check_resources(Resources(**change))


@pytest.mark.parametrize(
    ("name", "number"), [("TERM", 15), ("SIGTERM", 15), ("sigterm", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
)
def test_signals(name, number):
    assert checks.signal_number(name) == number


@pytest.mark.parametrize("name", ["", "0", "65", "66", "9" * 5000, "SIGNOTHING", "RTMIN+99", "RTMAX+1"])
def test_no_signals(name):
    with pytest.raises(Invalid, match=r"invalid signal|the linux daemon does not support signal 6[56]"):
        checks.signal_number(name)


@pytest.mark.parametrize(
    ("needs", "asked", "words"),
    [
        ("memory", {"memory_bytes": 8 << 20}, "does not support memory limit capabilities"),
        ("swap", {"memory_bytes": 8 << 20, "memory_swap_bytes": 9 << 20}, "Memory limited without swap"),
        ("swappiness", {"memory_swappiness": 5}, "Memory swappiness discarded"),
        ("kernel_tcp", {"kernel_memory_tcp_bytes": 5}, "kernel memory TCP limit"),
        ("oom_control", {"memory_bytes": 8 << 20, "oom_kill_disable": True}, "OomKillDisable discarded"),
        ("pids", {"pids_limit": 5}, "PIDs limit discarded"),
        ("cpu", {"cpu_shares": 5}, "Shares discarded"),
        ("cpu_quota", {"nano_cpus": 5}, "CPU period/quota discarded"),
        ("realtime", {"cpu_realtime_period_us": 5}, "Real-time period and runtime discarded"),
        ("cpuset", {"cpuset_cpus": "0"}, "Cpuset discarded"),
        ("io_weight", {"blkio_weight": 50}, "Weight discarded"),
    ],
)
def test_what_the_kernel_lacks(needs, asked, words):
    resources = Resources(**asked)
    assert warnings_of(resources, ALL) == (resources, ())
    found, told = warnings_of(resources, evolve(ALL, **{needs: False}))
    assert any(words in each for each in told)
    assert limits_of(found) != limits_of(resources)


def test_memory_without_end():
    words = (
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running "
        "out of resources."
    )
    asked = Resources(oom_kill_disable=True)
    assert warnings_of(asked, ALL) == (asked, (words,))
    assert words not in warnings_of(asked, evolve(ALL, oom_control=False))[1]


@pytest.mark.parametrize("pids", [-1, -2, 0])
def test_no_limit_needs_nothing(pids):
    asked = Resources(memory_swap_bytes=-1, memory_swappiness=-1, pids_limit=pids)
    checks.check_resources(asked)
    assert warnings_of(asked, Support()) == (asked, ())


def test_support_is_what_controllers_say():
    tree = Hierarchy(Path("/sys/fs/cgroup"), 2, frozenset({"memory", "pids", "cpu"}))
    found = support((tree,))
    assert (found.memory, found.pids, found.cpu, found.cpuset, found.swappiness) == (True, True, True, False, False)
    assert support(()) == Support()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {}),
        ({"nano_cpus": 1_500_000_000}, {"cpu": {"period": 100_000, "quota": 150_000}}),
        ({"memory_bytes": 8, "memory_swap_bytes": -1}, {"memory": {"limit": 8, "swap": -1}}),
        ({"memory_swappiness": 0}, {"memory": {"swappiness": 0}}),
        ({"pids_limit": 5, "oom_kill_disable": True}, {"pids": {"limit": 5}, "memory": {"disableOOMKiller": True}}),
        ({"pids_limit": -2}, {"pids": {"limit": -1}}),
        ({"pids_limit": 0}, {"pids": {"limit": -1}}),
        ({"cpuset_cpus": "0", "cpu_shares": 2}, {"cpu": {"cpus": "0", "shares": 2}}),
        ({"blkio_weight": 100}, {"blockIO": {"weight": 100}}),
    ],
)
def test_limits(asked, found):
    assert limits_of(Resources(**asked)) == found


def test_rlimits_without_end():
    (found,) = rlimits_of(Resources(ulimits=(Ulimit("core", -1, -1),)))
    assert found == {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1}


def test_no_block_device():
    for path, words in (("/dev/none", "no such file"), ("/dev/null", "not a block device")):
        with pytest.raises(Invalid, match=words):
            numbers_of(path)


def test_devices_of_a_folder(tmp_path):
    for path, words in ((str(tmp_path), "not a device node"), ("/etc/passwd", "not a device node")):
        with pytest.raises(Invalid, match=words):
            mapped_devices((DeviceMapping(path, "/dev/x"),))
    with pytest.raises(Invalid, match="invalid device mode: q"):
        mapped_devices((DeviceMapping("/dev/null", "/dev/x", "q"),))
    os.mknod(tmp_path / "one", 0o20600, os.makedev(1, 3))
    (node,) = mapped_devices((DeviceMapping(str(tmp_path), "/dev/many"),)).nodes
    assert (node["path"], node["major"], node["minor"]) == ("/dev/many/one", 1, 3)


def test_names_that_are_taken_are_not_given():
    given = {names.fresh(lambda _: False) for _ in range(50)}
    assert len(given) > 40
    tried = []
    assert names.fresh(lambda name: tried.append(name) or len(tried) < 3)[-1] == "1"


@pytest.mark.parametrize(
    ("over", "changes"),
    [
        ({}, {}),
        ({"command": ("x",)}, {"command": ("x",)}),
        ({"command": (), "user": ""}, {}),
        ({"entrypoint": ("x",)}, {"entrypoint": ("x",), "command": ()}),
        ({"entrypoint": ("x",), "command": ("y",)}, {"entrypoint": ("x",), "command": ("y",)}),
        ({"entrypoint": ()}, {"entrypoint": ()}),
        ({"environment": ("B=2", "C=3")}, {"environment": ("B=2", "C=3", "A=1")}),
        ({"labels": {"b": "2", "c": "3"}}, {"labels": {"a": "1", "b": "2", "c": "3"}}),
        ({"exposed_ports": ("5/udp", "80/tcp")}, {"exposed_ports": ("5/udp", "80/tcp")}),
        ({"volumes": ("/a",)}, {"volumes": ("/a", "/v")}),
        ({"healthcheck": {"Retries": 3}}, {"healthcheck": {"Test": ["CMD", "t"], "Interval": 10**9, "Retries": 3}}),
        ({"on_build": ("RUN x",), "stop_signal": "INT"}, {"on_build": ("RUN x",), "stop_signal": "INT"}),
    ],
)
def test_what_a_commit_says_is_over_what_the_container_was(over, changes):
    held = ContainerConfig(
        "i", ("c",), entrypoint=("e",), environment=("A=1", "B=1"), user="ann", labels={"a": "1", "b": "1"},
        exposed_ports=("80/tcp",), volumes=("/v",), health=HealthCheck(
            ("CMD", "t"), interval_ns=10**9, timeout_ns=0, start_period_ns=0, start_interval_ns=0, retries=0
        ),
    )  # fmt: skip
    assert changing.image_config(held, over) == evolve(changing.image_config(held, {}), **changes)


def test_values_survive_storage():
    config = ContainerConfig(
        "i", ("a",), entrypoint=(), window=Window(3, 4), mounts=(MountRequest("tmpfs", "/t", options=("ro",)),),
        resources=Resources(pids_limit=0, device_requests=(DeviceRequest("cdi", capabilities=(("a", "b"),)),)),
        ports=(PortBinding("80/tcp", "", "8080"),), labels={"a": "b"}, health=HealthCheck(("NONE",)), init=False,
        masked_paths=(),
    )  # fmt: skip
    assert decode(ContainerConfig, encode(config)) == config
    assert decode(ContainerConfig, {**encode(config), "of a newer engine": 1}) == config


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("foo", r'invalid tmpfs option \["foo"\]$'),
        ("mode:1777", r'invalid tmpfs option \["mode:1777"\]$'),
        ("size", r'invalid tmpfs option \["size"\]$'),
        ("sized=1m", r'invalid tmpfs option \["sized" "1m"\]$'),
        ("rec", "invalid tmpfs option"),
    ],
)
def test_options_of_a_tmpfs_that_there_are_none_of(option, words):
    with pytest.raises(Invalid, match=words):
        check_mount(MountRequest("tmpfs", "/t", options=("size=1m", option)))


def test_options_of_a_tmpfs():
    known = ("rw", "noexec", "nosuid", "rprivate", "rro", "size=1m", "mode=1777", "uid=1", "huge=never", "noswap")
    asked = MountRequest("tmpfs", "/t", options=known)
    assert check_mount(asked) == asked


def test_weights_of_devices_that_none_can_be_given():
    """Those that can be weighed keep theirs."""
    asked = Resources(blkio_weight=50, blkio_weight_devices=(DeviceWeight("/dev/a", 10), DeviceWeight("/dev/b", 20)))
    found, told = warnings_of(asked, ALL, lambda path: path == "/dev/b")
    assert found == evolve(asked, blkio_weight_devices=(DeviceWeight("/dev/b", 20),))
    assert told == ("Your kernel does not support Block I/O weight_device. Weight-device discarded.",)
    assert warnings_of(asked, ALL, lambda path: True) == (asked, ())
    found, told = warnings_of(asked, evolve(ALL, io_weight_device=False), lambda path: False)
    assert (found.blkio_weight_devices, len(told)) == ((), 1)


PS = "UID   PID  CMD\nroot  12   sh -c a b\nroot  13   sleep 1\n"


def test_ps_is_read_by_its_columns():
    assert processes.parsed(PS, (12,)) == (("UID", "PID", "CMD"), (("root", "12", "sh -c a b"),))
    with pytest.raises(Invalid, match="couldn't find PID field in ps output"):
        processes.parsed("UID\n0\n", (1,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("-o pid=", "not allowed"), ("'", "ps:"), ("--nonsense", "error running ps"), ("-o comm", "couldn't find PID")],
)
def test_ps_that_is_refused(arguments, words):
    with pytest.raises(Invalid, match=words):
        processes.table((os.getpid(),), arguments)


def test_no_ps(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostUnfit, match="has no ps"):
        processes.table((1,), "")


@pytest.mark.parametrize(
    ("cause", "program", "words", "code"),
    [
        (FileNotFoundError(2, "x"), "a", "executable file not found in \\$PATH", 127),
        (FileNotFoundError(2, "x"), "/a", "stat /a: no such file or directory", 127),
        (PermissionError(13, "x"), "/a", "permission denied", 126),
        (IsADirectoryError(21, "x"), "/a", "is a directory", 126),
        (OSError(8, "Exec format error"), "/a", "exec format error", 126),
        (OSError(40, "Too many levels"), "/a", "too many levels", 126),
        (None, "a", "executable file not found in \\$PATH", 127),
        (None, '["a"]', r'exec: "\[\\"a\\"\]": executable file not found', 127),
    ],
)
def test_why_a_program_cannot_be_run(cause, program, words, code):
    with pytest.raises(Invalid, match=words) as caught, telling(program):
        raise Invalid("a runtime's words") from cause
    assert exit_code(caught.value) == code
    assert isinstance(caught.value.__cause__, OSError)


def test_a_program_without_a_name_is_nowhere():
    with pytest.raises(Invalid, match=r'exec: "": executable file not found in \$PATH') as caught, telling(""):
        pytest.fail("a runtime is asked")
    assert exit_code(caught.value) == 127


def test_what_is_not_about_the_program_is_left_alone():
    mount = Invalid("cannot mount bind on /a (config.json: mounts[4]): No such file or directory: /a")
    limit = Invalid("cannot set cpu.rt_runtime_us to '1000' (config.json: linux.resources.cpu.realtimeRuntime): no")
    limit.__cause__ = OSError(22, "Invalid argument")
    for error in (Invalid("x", problems=(Problem("p"),)), Invalid("the hook /h failed"), mount, limit, Conflict("x")):
        with pytest.raises(type(error)) as caught, telling("a"):
            raise error
        assert caught.value is error
        assert exit_code(error) == 128
