import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from moby.oci.spec import MASKED_PATHS
from moby.testing.supervisor import read_until, readable

pytestmark = pytest.mark.slow

READY = "echo ready; while :; do sleep 0.1; done"


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        pytest.param(["demo"], 0, "default command\n", "", id="image's command"),
        pytest.param(["demo", "sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\n", "err\n", id="exit code"),
        pytest.param(["-e", "A=b", "demo", "sh", "-c", "echo $A $FROM_IMAGE"], 0, "b yes\n", "", id="environment"),
        pytest.param(["-w", "/tmp", "demo", "sh", "-c", "pwd"], 0, "/tmp\n", "", id="working directory"),
        pytest.param(["--entrypoint", "echo", "demo", "-n", "x"], 0, "x", "", id="entrypoint"),
        pytest.param(["demo", "sh", "-c", "read x || echo end"], 0, "end\n", "", id="no stdin"),
        pytest.param(["-t", "demo", "sh", "-c", "echo out; echo err >&2"], 0, "out\r\nerr\r\n", "", id="terminal"),
    ],
)
def test_output(engine, arguments, code, out, err):
    done = engine.run(*arguments)
    assert (done.stdout, done.stderr, done.returncode) == (out, err, code)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["absent"], 125, "image from-host", id="no such image"),
        pytest.param(["--nope", "demo"], 125, "usage:", id="unknown option"),
        pytest.param([], 125, "usage:", id="no image"),
        pytest.param(["--runtime", "nobody's", "demo"], 125, "there is no runtime", id="no such runtime"),
        pytest.param(["-u", "nobody's", "demo"], 125, "there is no user", id="no such user"),
        pytest.param(["-i", "-t", "demo"], 125, "not a TTY", id="no terminal here"),
        pytest.param(["--name", "-", "demo"], 125, "is no name", id="no name"),
        pytest.param(["demo", "/no/such/program"], 127, "", id="no such program"),
    ],
)
def test_failures(engine, arguments, code, message):
    done = engine.run(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr


def test_unrunnable(engine):
    assert engine.run("demo", "/etc").returncode == 126


def test_help(plain):
    done = plain.run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_stdin_to_its_end(engine):
    text = "line\n" * 100_000
    assert engine.run("-i", "demo", "cat", input=text).stdout == text


def test_big_output(engine):
    script = "x=$(echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa); for i in 1 2 3 4 5 6 7 8 9 10; do x=$x$x; done; "
    done = engine.run("demo", "sh", "-c", script + "for i in 1 2 3 4 5 6 7 8 9 10; do echo $x; done")
    assert len(done.stdout) == 10 * (31 * 1024 + 1)


def test_isolation(isolating):
    done = isolating.run("demo", "sh", "-c", "echo pid $$; hostname; ls -d /bin /work; id -u; ps -e; :")
    lines = done.stdout.splitlines()
    assert lines[0] == "pid 1"
    assert len(lines[1]) == 12
    assert set(lines[1]) <= set("0123456789abcdef")
    assert lines[2:4] == ["/bin", "0"]
    assert [each.split()[-1] for each in lines[4:]] == ["CMD", "sh", "ps"]


@pytest.mark.parametrize(
    ("arguments", "script", "out"),
    [
        pytest.param(["-h", "box"], "hostname", "box\n", id="host name"),
        pytest.param(["--read-only"], "touch /x 2>/dev/null || echo no", "no\n", id="read-only"),
        pytest.param(["--tmpfs", "/mine:size=1m"], "stat -f -c %T /mine", "tmpfs\n", id="tmpfs"),
        pytest.param(["--network", "none"], "ls /sys/class/net || cat /proc/net/dev", None, id="no network"),
        pytest.param(["--cap-drop", "ALL"], "touch /x; stat -c %u /x", "0\n", id="no capabilities"),
    ],
)
def test_options(isolating, arguments, script, out):
    done = isolating.run(*arguments, "demo", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert out is None or done.stdout == out


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        pytest.param([], 0, id="Docker's default"),
        pytest.param(["--security-opt", "no-new-privileges"], 1, id="none"),
        pytest.param(["--security-opt", "no-new-privileges:false"], 0, id="said"),
    ],
)
def test_new_privileges(isolating, arguments, value):
    done = isolating.run(*arguments, "demo", "cat", "/proc/self/status")
    assert f"NoNewPrivs:\t{value}\n" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        pytest.param([], 2, id="by default"),
        pytest.param(["--cap-add", "ALL"], 2, id="with all capabilities"),
        pytest.param(["--security-opt", "seccomp=unconfined"], 0, id="unconfined"),
    ],
)
def test_filter_of_system_calls(isolating, arguments, mode):
    done = isolating.run(*arguments, "demo", "sh", "-c", "cat /proc/self/status; mkdir /dev/shm/x && echo made")
    assert f"Seccomp:\t{mode}\n" in done.stdout, done.stderr
    assert done.stdout.endswith("made\n")


def test_profile_of_ones_own(isolating):
    """In Docker's format, by the container's capabilities."""
    rules = [
        {
            "names": ["mkdir", "mkdirat"],
            "action": "SCMP_ACT_ERRNO",
            "errno": "EXDEV",
            "excludes": {"caps": ["CAP_BPF"]},
        },
        {"name": "symlinkat", "action": "SCMP_ACT_KILL", "includes": {"minKernel": "99.0"}},
    ]
    profile = isolating.folder / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    command = ["--security-opt", f"seccomp={profile}", "demo", "mkdir", "/dev/shm/x"]
    done = isolating.run(*command)
    assert (done.returncode, "Invalid cross-device link" in done.stderr) == (1, True)
    assert isolating.run("--cap-add", "BPF", *command).returncode == 0


def test_volume(isolating):
    shared = isolating.folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "file").write_text("from outside\n")
    done = isolating.run("-v", f"{shared}:/s:ro", "demo", "sh", "-c", "cat /s/file; touch /s/x 2>/dev/null || echo ro")
    assert done.stdout == "from outside\nro\n"
    assert isolating.run("-v", f"{shared}:/s", "demo", "touch", "/s/new").returncode == 0
    assert (shared / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-v", "{shared}:/s:ro"], id="volume"),
        pytest.param(["--mount", "type=bind,source={shared},target=/s,readonly"], id="mount"),
    ],
)
def test_read_only_is_so_below_too(isolating, arguments):
    """What is mounted in a folder is as read-only inside as the folder."""
    if os.geteuid():
        pytest.skip("only root may mount; run by root this is covered")
    shared = isolating.folder / "shared"
    (shared / "below").mkdir(parents=True)
    arguments = [each.format(shared=shared) for each in arguments]
    script = "for i in /s /s/below; do touch $i/x 2>/dev/null && echo $i is writable; done; echo tried"
    mounting = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o mode=777 tmpfs "$0" && exec "$@"']
    command = [*mounting, str(shared / "below"), *isolating.argv, "run", *arguments, "demo", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("tried\n", "")


def test_all_of_sys_is_read_only(isolating):
    done = isolating.run("demo", "cat", "/proc/self/mountinfo")
    points = {line.split()[4]: set(line.split()[5].split(",")) for line in done.stdout.splitlines()}
    below = {point: options for point, options in points.items() if point == "/sys" or point.startswith("/sys/")}
    assert "/sys" in below
    hidden = [each for each in below if each in MASKED_PATHS]
    assert not [each for each in hidden if "ro" not in below[each]]
    wanted = {"ro", "nosuid", "nodev", "noexec"}
    assert {point: wanted - below[point] for point in below if point not in hidden and not wanted <= below[point]} == {}


def begin(engine, *arguments, script=READY):
    process = engine.start(*arguments, "demo", "sh", "-c", script)
    read_until(process.stdout.fileno(), b"ready\n")
    return process


def ask(process):
    """Send SIGTERM, and wait until it is taken: two of a kind that are pending at once are one (signal(7))."""
    process.terminate()
    pending = f"ShdPnd:\t{1 << signal.SIGTERM - 1:016x}\n"
    while pending in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.005)


def finish(process):
    process.stdin.close()
    with process.stdout, process.stderr:
        return process.wait(60)


@pytest.mark.parametrize("number", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"])
def test_signal_reaches_the_container(plain, number):
    process = begin(plain, script=f"trap 'exit 7' {number}; {READY}")
    process.send_signal(getattr(signal, f"SIG{number}"))
    assert finish(process) == 7


def test_signal_reaches_an_isolated_container(isolating):
    process = begin(isolating, script=f"trap 'exit 7' TERM; {READY}")
    process.terminate()
    assert finish(process) == 7


def test_third_request_is_sigkill(isolating):
    process = begin(isolating, script=f"trap '' TERM; {READY}")
    for _ in range(3):
        ask(process)
    assert finish(process) == 128 + signal.SIGKILL


def test_first_process_ignores_what_it_has_no_handler_for(isolating):
    """One SIGTERM is handed on, and changes nothing, as with docker; the third in all is SIGKILL."""
    process = isolating.start("-t", "demo", "sh", "-c", "echo ready; exec sleep 600")
    read_until(process.stdout.fileno(), b"ready")
    ask(process)
    time.sleep(0.5)
    assert process.poll() is None
    for _ in range(2):
        ask(process)
    assert finish(process) == 128 + signal.SIGKILL


def test_reader_that_leaves(plain):
    process = plain.start("demo", "sh", "-c", "trap 'exit 9' PIPE; while :; do echo x; done")
    os.read(process.stdout.fileno(), 1)
    process.stdout.close()
    assert process.wait(60) in (9, 128 + signal.SIGPIPE)
    process.stdin.close()
    process.stderr.close()


def test_killed_caller_is_cleaned_up_after(engine):
    process = begin(engine)
    process.kill()
    finish(process)
    assert engine.left() != []
    engine.rootfs.with_name("lent").unlink()  # a real store clears its own
    assert engine.run("demo").returncode == 0


def test_container_dies_with_a_killed_caller(isolating):
    held = isolating.folder / "held"
    os.mkfifo(held)
    held.chmod(0o666)
    process = isolating.start("-v", f"{held}:/held", "demo", "sh", "-c", "exec 3>/held; echo x >&3; sleep 600")
    with held.open("rb", buffering=0) as pipe:
        assert pipe.read(2) == b"x\n"
        process.kill()
        assert readable(pipe.fileno()), "the container still runs"
        assert pipe.read(1) == b""
    finish(process)
    isolating.rootfs.with_name("lent").unlink()  # a real store clears its own
    assert isolating.run("demo").returncode == 0


def in_terminal(engine, *arguments):
    """Start `run` with a terminal of 33 rows as its standard streams; return it and the master's descriptor."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (33, 77))
    process = engine.start(*arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    return process, master


def test_terminal_is_passed_on(engine):
    script = 'stty size; until [ "$(stty size)" = "44 88" ]; do sleep 0.05; done; echo sized; read y; exit 5'
    process, master = in_terminal(engine, "-it", "demo", "sh", "-c", script)
    read_until(master, b"33 77")
    assert termios.tcgetattr(master)[3] & termios.ECHO == 0, "ours is raw; the container's echoes"
    termios.tcsetwinsize(master, (44, 88))
    process.send_signal(signal.SIGWINCH)
    read_until(master, b"sized")
    os.write(master, b"\r")
    assert process.wait(60) == 5
    assert termios.tcgetattr(master)[3] & termios.ECHO, "restored"
    os.close(master)


def test_interrupt_key_goes_to_the_container(engine):
    process, master = in_terminal(engine, "-it", "demo", "sh", "-c", "trap 'exit 6' INT; " + READY)
    read_until(master, b"ready")
    os.write(master, b"\x03")
    assert process.wait(60) == 6
    os.close(master)


def test_signal_during_unpacking(plain, tmp_path):
    """Before there is a container, a signal ends the run itself, and its image's files go."""
    blocked = tmp_path / "blocked"
    os.mkfifo(blocked)
    process = plain.start("demo", env={**os.environ, "ENGINE_BLOCKS_ON": str(blocked)})
    with blocked.open("rb") as waiting:
        assert select.select([waiting], [], [], 60)[0]
        process.terminate()
        assert finish(process) == 128 + signal.SIGTERM


def test_two_at_once(engine):
    first = begin(engine, "-i", script="echo ready; read x; echo $x")
    engine.rootfs.with_name("lent").unlink()  # shared by the two, unlike a real store's
    assert engine.run("demo", "sh", "-c", "echo second").stdout == "second\n"
    engine.rootfs.with_name("lent").touch()
    first.stdin.write(b"first\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"first\n"
    assert finish(first) == 0


def test_memory_limit_kills(limiting):
    done = limiting.run("-m", "16m", "demo", "sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done")
    assert done.returncode == 128 + signal.SIGKILL


def test_output_to_a_file(plain, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        process = plain.start("demo", "sh", "-c", "for i in 1 2 3; do echo $i; done", stdout=out)
        assert process.wait(60) == 0
    assert (tmp_path / "out").read_text() == "1\n2\n3\n"


def test_closed_streams(plain):
    """Standard streams that aren't there don't stop a container."""
    done = plain.start("-i", "demo", "sh", "-c", "cat; echo x; exit 3", preexec_fn=lambda: [os.close(0), os.close(1)])
    assert finish(done) == 3


def test_ignored_signal_stays_ignored(plain):
    """As nohup(1) asks for."""
    process = plain.start("demo", "sh", "-c", READY, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    read_until(process.stdout.fileno(), b"ready\n")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    assert finish(process) == 128 + signal.SIGTERM
