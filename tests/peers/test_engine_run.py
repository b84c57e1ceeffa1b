"""Podman and dockerd run programs with our runtime in place of theirs: streams, terminals, users, errors."""

import re

import pytest
from peers.engines import choices

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("podman", "docker"), indirect=True, scope="module"),
]


class TestRun:
    @pytest.mark.parametrize("code", [0, 1, 255])
    def test_its_exit_code_is_the_programs(self, engine, code):
        assert engine.run("sh", "-c", f"exit {code}").returncode == code

    def test_output_and_errors_come_apart(self, engine):
        done = engine.run("sh", "-c", "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    def test_what_is_given_comes_in(self, engine):
        text = "x" * 100_000
        assert engine.run("cat", options=["-i"], input=text).stdout == text

    def test_environment_folder_and_host_name(self, engine):
        options = ["-e", "FOO=bar baz", "-w", "/tmp", "--hostname", "there"]
        assert engine.said("sh", "-c", 'echo "$FOO,$PWD,$(hostname)"', options=options) == "bar baz,/tmp,there"

    @pytest.mark.parametrize(("user", "home"), [("root", "/root"), ("1000", "/home"), ("4242", "/")])
    def test_a_users_home(self, engine, user, home):
        name = engine.up(options=["--user", user])
        assert engine.out("exec", name, "sh", "-c", 'echo "$HOME"') == home
        assert engine.said("sh", "-c", 'echo "$HOME"', options=["--user", user]) == home

    def test_users_and_groups(self, engine):
        options = ["--user", "1000:1000", "--group-add", "2000"]
        assert engine.said("id", options=options) == "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)"

    def test_limits_of_resources_by_process(self, engine):
        options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"]
        assert engine.said("sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c", options=options) == "100\n200\n0"

    def test_kernel_settings_of_its_namespaces(self, engine):
        options = ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shm_rmid_forced=1"]
        files = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shm_rmid_forced")
        assert engine.said("cat", *files, options=options) == "1\n1"

    def test_an_init_reaps_and_passes_signals_and_the_exit_code_on(self, engine):
        script = "(sleep 0.1 &) ; while ps -eo comm= | grep -q sleep; do :; done; cat /proc/1/comm; exit 5"
        done = engine.run("sh", "-c", script, options=["--init"])
        assert done.returncode == 5
        assert re.fullmatch("(docker|podman)-init\n", done.stdout)

    def test_score_for_want_of_memory(self, engine):
        assert engine.said("cat", "/proc/self/oom_score_adj", options=["--oom-score-adj", "500"]) == "500"


class TestTerminal:
    def test_it_has_the_size_of_the_users_and_changes_with_it(self, engine):
        script = 'until [ "$(stty size)" = "$0" ]; do sleep 0.05; done; echo first'
        script += '; until [ "$(stty size)" = "$1" ]; do sleep 0.05; done; echo second; exit 4'
        terminal = engine.terminal(
            "run", "--rm", "-it", "--network=none", "localhost/box", "sh", "-c", script, "33 101", "40 120",
            rows=33, columns=101,
        )  # fmt: skip
        terminal.read_until("first\r\n")
        terminal.resize_until("second\r\n", 40, 120)
        assert terminal.code() == 4

    def test_keys_come_in_and_interrupt(self, engine):
        script = (
            'trap "echo interrupted; exit 9" INT; echo ready; read line; echo "got $line"; while :; do sleep 0.1; done'
        )
        terminal = engine.terminal("run", "--rm", "-it", "--network=none", "localhost/box", "sh", "-c", script)
        terminal.read_until("ready")
        terminal.write("hello\n")
        terminal.read_until("got hello\r\n")
        terminal.write("\x03")
        terminal.read_until("interrupted\r\n")
        assert terminal.code() == 9

    def test_without_a_users_terminal_it_has_one_of_its_own(self, engine):
        script = "tty; test -c /dev/console && echo console; test -t 0 && test -t 1 && test -t 2 && echo all"
        assert engine.said("sh", "-c", script, options=["-t"]).split() == ["/dev/pts/0", "console", "all"]

    def test_as_an_ordinary_user(self, engine):
        options = ["-t", "--user", "1000"]
        assert engine.said("sh", "-c", "stat -c %u $(tty); : </dev/tty && echo ok", options=options).split() == [
            "1000", "ok",
        ]  # fmt: skip


class TestExec:
    def test_output_exit_code_environment_folder_and_user(self, engine):
        name = engine.up(options=["-e", "A=1"])
        script = 'echo "$A,$B,$PWD,$(id -u):$(id -g)"; echo err >&2; exit 7'
        done = engine(
            "exec", "-e", "B=2", "-w", "/tmp", "-u", "1000:2000", name, "sh", "-c", script, check=False
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (7, "1,2,/tmp,1000:2000\n")
        assert done.stderr.startswith("err\n")

    def test_what_is_given_comes_in(self, engine):
        name = engine.up()
        text = "y" * 100_000
        assert engine("exec", "-i", name, "cat", input=text).stdout == text

    def test_on_a_terminal(self, engine):
        name = engine.up()
        script = 'tty; until [ "$(stty size)" = "50 90" ]; do sleep 0.05; done; echo sized; read line; exit 6'
        terminal = engine.terminal("exec", "-it", name, "sh", "-c", script, rows=50, columns=90)
        assert "/dev/pts/" in terminal.read_until("sized\r\n")
        terminal.write("\n")
        assert terminal.code() == 6

    def test_in_the_background(self, engine):
        name = engine.up()
        engine("exec", "-d", name, "sh", "-c", "echo done >/tmp/file.new; mv /tmp/file.new /tmp/file")
        script = "until [ -e /tmp/file ]; do sleep 0.05; done; cat /tmp/file"
        assert engine.out("exec", name, "sh", "-c", script) == "done"

    def test_it_is_confined_as_the_container_is(self, engine):
        name = engine.up(options=["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "50"])
        status = engine.out("exec", name, "cat", "/proc/self/status")
        assert re.search("^CapEff:\t0{16}$", status, re.MULTILINE)
        assert re.search("^CapBnd:\t0{16}$", status, re.MULTILINE)
        assert re.search("^Seccomp:\t2$", status, re.MULTILINE)
        groups = engine.out("exec", name, "cat", "/proc/self/cgroup")
        assert groups == engine.out("exec", name, "cat", "/proc/1/cgroup")
        for each in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
            ours, first = (engine.out("exec", name, "readlink", f"/proc/{pid}/ns/{each}") for pid in ("self", "1"))
            assert ours == first

    def test_privileged(self, engine):
        name = engine.up()
        full = engine.sandbox.run("grep", "CapEff", "/proc/self/status").stdout
        assert engine.out("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status") == full.rstrip()

    @pytest.mark.parametrize(
        ("program", "codes", "message"),
        [
            # This dockerd says 126 for both.
            ("nonesuch", {"docker": 126, "podman": 127}, r"executable file.* not found in \$PATH"),
            ("/etc/passwd", {"docker": 126, "podman": 126}, "[Pp]ermission denied"),
        ],
        ids=["absent", "no-program"],
    )
    def test_what_cannot_be_run(self, engine, program, codes, message):
        name = engine.up()
        done = engine("exec", name, program, check=False)
        assert done.returncode == codes[engine.name]
        assert re.search(message, done.stderr + done.stdout)

    def test_it_ends_with_the_container(self, engine):
        name = engine.up()
        terminal = engine.terminal("exec", "-it", name, "sh", "-c", "echo here; sleep 1000")
        terminal.read_until("here")
        engine("kill", name)
        assert terminal.code() in {137, 255}


class TestErrors:
    @pytest.mark.parametrize(
        ("program", "code", "message"),
        [
            ("nonesuch", 127, r"executable file.* not found in \$PATH"),
            ("/non/such", 127, "[Nn]o such file or directory"),
            ("/etc/passwd", 126, "[Pp]ermission denied"),
            ("/etc", 126, "directory|[Pp]ermission denied"),
        ],
        ids=["absent", "absent-path", "no-program", "folder"],
    )
    def test_what_cannot_be_run_is_told(self, engine, program, code, message):
        done = engine.run(program)
        assert done.returncode == code
        assert re.search(message, done.stderr)

    def test_a_user_that_is_not_there(self, engine):
        done = engine.run("true", options=["--user", "nobodysuch"])
        assert done.returncode in {125, 126}
        assert "nobodysuch" in done.stderr
