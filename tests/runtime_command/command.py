"""The command under test: called as an engine calls it, in processes of its own."""

import fcntl
import json
import os
import secrets
import select
import struct
import subprocess
import sys
import termios
import time
from binascii import crc32
from pathlib import Path

import pytest
from attrs import define, field

from moby.testing.boxes import cgroup_folders, read_until
from moby.testing.bundles import Bundles, config

PATIENCE_S = 60
SCRIPT = Path(sys.executable).parent / "moby-runtime"


def until(condition, what):
    """Wait for something that must come; fail the test where it doesn't."""
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > limit:
            pytest.fail(f"{what} didn't come in {PATIENCE_S} s")
        time.sleep(0.02)
    return found


def ended(pid):
    """Reap a process that became ours; return its exit code, 128+n for signal n."""
    fd = os.pidfd_open(pid)
    try:
        if not select.select([fd], [], [], PATIENCE_S)[0]:
            pytest.fail(f"process {pid} doesn't end")
        result = os.waitid(os.P_PIDFD, fd, os.WEXITED)
    finally:
        os.close(fd)
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


@define
class Command:
    """Calls the command with one folder of state, and remembers what was made there."""

    folder: Path
    bundles: Bundles
    user: int = 0
    program: tuple[str, ...] = (str(SCRIPT),)
    root: Path = field(init=False)

    def __attrs_post_init__(self):
        self.root = self.folder / "state"

    @property
    def rootless(self):
        return bool(self.user or os.geteuid())

    def argv(self, *args):
        return [*self.program, "--root", str(self.root), *map(str, args)]

    def options(self, env=None, **more):
        if self.user:
            more |= {"user": self.user, "group": self.user, "extra_groups": []}
        return {"env": os.environ | (env or {}), "cwd": "/", **more}

    def __call__(self, *args, check=True, input="", env=None, **more):
        """Call it to its end; fail the test where `check` and it says that it failed."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        if "stdin" not in more:
            streams["input"] = input
        done = subprocess.run(
            self.argv(*args), text=True, timeout=PATIENCE_S, check=False, **self.options(env, **streams)
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def begin(self, *args, env=None, **more):
        """Start it, with pipes; the caller ends it."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        return subprocess.Popen(self.argv(*args), **self.options(env, **pipes))

    def error(self, *args, code=1, **more):
        """Call it where it must fail; return what its log says."""
        log = self.folder / f"log-{secrets.token_hex(4)}"
        log.touch()
        log.chmod(0o666)
        done = self("--log", log, "--log-format", "json", *args, check=False, **more)
        assert done.returncode == code, done
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        (told,) = [line["msg"] for line in lines if line["level"] == "error"]
        assert told in done.stderr
        return told

    def config(self, *args, **process):
        """Return a config.json that suits the user of the calls."""
        data = config(args, rootless=self.rootless, **process)
        if self.user:
            for name in ("uidMappings", "gidMappings"):
                data["linux"][name] = [{"containerID": 0, "hostID": self.user, "size": 1}]
        return data

    def bundle(self, *args, data=None, **process):
        """Make a bundle, and return its folder."""
        return self.bundles.make(secrets.token_hex(4), data or self.config(*args, **process))

    def created(self, name, *args, options=(), **process):
        """Make a container with our streams closed; return its pid."""
        pid_file = self.folder / f"{name}.pid"
        self(
            "create", "--bundle", self.bundle(*args, **process), "--pid-file", pid_file, *options, name,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=None,
        )  # fmt: skip
        return int(pid_file.read_text())

    def started(self, name, *args, options=(), **process):
        """Make a container, and start it."""
        pid = self.created(name, *args, options=options, **process)
        self("start", name)
        return pid

    def sleeping(self, name="box"):
        """Make and start a container that stays; return its pid."""
        return self.started(name, "sleep", "1000")

    def state(self, name):
        return json.loads(self("state", name).stdout)

    def status(self, name):
        return self.state(name)["status"]

    def ids(self):
        return self("list", "-q").stdout.split()

    def groups(self):
        """Return the control groups of this folder's containers."""
        return cgroup_folders(f"/moby-runtime-{crc32(os.fsencode(self.root)):08x}")

    def remove_all(self):
        for name in self.ids():
            self("delete", "--force", name)


class Terminal:
    """The command on a terminal of the test's, as a shell would run it."""

    def __init__(self, command, *args):
        self.master, theirs = os.openpty()
        self.resize(11, 22, theirs)
        self.before = termios.tcgetattr(self.master)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command.argv(*args)], stdin=theirs, stdout=theirs, stderr=theirs,
            **command.options({"TERM": "xterm"}),
        )  # fmt: skip
        os.close(theirs)

    def resize(self, rows, columns, fd=-1):
        fcntl.ioctl(self.master if fd < 0 else fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, mark):
        return read_until(self.master, mark)

    def code(self):
        code = self.process.wait(PATIENCE_S)
        os.close(self.master)
        return code
