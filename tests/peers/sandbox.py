"""A place where other engines run as if they were installed: namespaces, control groups and files of its own."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from attrs import define, field
from peers.binaries import ROOT

PATIENCE_S = 120
TEMPORARY = Path("/var/lib/peers")
"""A folder inside for anything; everybody may write to it."""
_HERE = Path(__file__).parent
_NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--cgroup", "--uts")
# Joins the control groups named before `--` and becomes the program after it.
_JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'


def _own_groups(name):
    """Yield a path below this process's control group of each hierarchy that is mounted."""
    mounted = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()
        if kind == "cgroup2":
            mounted[""] = before.split()[4]
        elif kind == "cgroup":
            for option in options.split(","):
                mounted.setdefault(option, before.split()[4])
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        where = mounted.get(controllers.split(",")[0])
        if where:
            yield Path(where + path.rstrip("/")) / name


@define
class Sandbox:
    """Runs programs in one sandbox; `close` ends all of them and removes every trace."""

    folder: Path
    """A folder whose content is in memory, and is seen inside alone."""
    hidden: tuple[str, ...] = ()
    """Names of cgroup hierarchies that aren't shown inside."""
    groups: tuple[Path, ...] = field(init=False)
    """Its control groups, as seen from outside."""
    environment: dict[str, str] = field(init=False)
    _first: subprocess.Popen = field(init=False)
    _pid: int = field(init=False, default=0)
    _foreign: frozenset[str] = field(init=False, default=frozenset())
    """Mounts that came along from outside, as `ID:PLACE`: who removes the folder there takes them from here too."""

    def open(self):
        """Start its first process."""
        if os.geteuid():
            pytest.skip("only root can make a sandbox for other engines")
        if not ROOT.is_dir():
            pytest.skip("programs of others are not there; `tools/peers docker` unpacks an engine's")
        self.groups = tuple(_own_groups(f"peers-{secrets.token_hex(4)}"))
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder / "home"), "TMPDIR": str(TEMPORARY), "LC_ALL": "C.UTF-8", "USER": "root",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }  # fmt: skip
        for each in self.groups:
            each.mkdir()
            if (each / "cpuset.cpus").exists():
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (each / name).write_text((each.parent / name).read_text())
        # Were this process killed, all would go with it.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child"]
        command += [sys.executable, "-I", str(_HERE / "inside.py")]
        self._first = subprocess.Popen(
            self._joined([*command, str(self.folder), str(ROOT), *self.hidden]),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, env=self.environment,
        )  # fmt: skip
        assert self._first.stdout is not None
        ready, *foreign = self._first.stdout.readline().decode().split() or [""]
        if ready != "ready":
            self.close()
            pytest.fail("the sandbox could not be made; what went wrong is above")
        self._foreign = frozenset(foreign)
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        self._pid = int(children.read_text())

    def _joined(self, args):
        return ["sh", "-c", _JOIN, "join", *map(str, self.groups), "--", *args]

    def argv(self, *args, user=0, cwd="/"):
        """Return the arguments that run a program inside, to be given to subprocess with `environment`."""
        enter = ["nsenter", "-t", str(self._pid), "-m", "-p", "-n", "-i", "-C", "-u", f"--wdns={cwd}"]
        change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return self._joined([*enter, *change, *map(str, args)])

    def run(self, *args, check=True, input="", env=None, user=0, timeout=PATIENCE_S):
        """Run a program inside to its end; fail the test where `check` and it says that it failed."""
        done = subprocess.run(
            self.argv(*args, user=user), env=self.environment | (env or {}), input=input, capture_output=True,
            text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *args, log, env=None):
        """Start a program inside that stays, writing to a file outside."""
        with Path(log).open("ab") as out:
            return subprocess.Popen(
                self.argv(*args), env=self.environment | (env or {}), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def seen(self, path):
        """Return a path as it is seen inside, for reading from outside."""
        return Path(f"/proc/{self._pid}/root") / str(path).lstrip("/")

    def processes(self):
        """Return the command lines inside by pid, as seen inside; without the first one's."""
        found = {}
        for each in self.seen("/proc").iterdir():
            if each.name.isdigit() and each.name != "1":
                with contextlib.suppress(OSError):
                    words = (each / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                    state = (each / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found[int(each.name)] = b" ".join(words).decode(errors="replace")
        return found

    def pid(self, words):
        """Return the pid inside of the one program whose command line has these words.

        Who starts another is two for a moment, of which the second is about to be that other.
        """
        return until(lambda: self._only(words), f"the one program with {words!r}")

    def _only(self, words):
        found = [pid for pid, line in self.processes().items() if words in line]
        return found[0] if len(found) == 1 else 0

    def mounts(self):
        """Return where file systems were mounted inside."""
        lines = map(str.split, Path(f"/proc/{self._pid}/mountinfo").read_text().splitlines())
        return sorted(place for number, _, _, _, place, *_ in lines if f"{number}:{place}" not in self._foreign)

    def control_groups(self):
        """Return the control groups that were made inside, relative to the sandbox's own."""
        found = []
        for group in self.groups:
            for below, _, _ in os.walk(group):
                if Path(below) != group:
                    found.append(f"{group.parent.name}:{Path(below).relative_to(group)}")
        return sorted(found)

    def network(self):
        """Return what the sandbox's own network namespace has: interfaces, addresses and routes."""
        found = []
        for name, key in (("dev", ":"), ("fib_trie", "|--"), ("if_inet6", ""), ("ipv6_route", "")):
            lines = Path(f"/proc/{self._pid}/net/{name}").read_text().splitlines()
            found += [f"{name} {_figureless(name, line)}" for line in lines if key in line]
        return sorted(set(found))

    def trace(self):
        """Return all that containers could leave behind inside, counted."""
        run = self.seen("/run")
        return Counter([
            # dockerd keeps the first mount, which is of its own network namespace, once a container has shared that.
            *(f"mount at {each}" for each in self.mounts() if each != "/run/docker/netns/default"),
            *(f"control group {each}" for each in self.control_groups()),
            *(f"program {words.split(' ')[0]}" for words in self.processes().values()),
            *(f"file /run/{each}" for each in (path.relative_to(run) for path in run.rglob("*")) if _counts(each)),
        ])  # fmt: skip

    def close(self):
        """End everything inside, and remove its control groups."""
        first = self._first
        for group in self.groups:
            _thaw(group)
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        else:
            first.kill()
        for pid in self._entered():  # who came in from outside reaps what it waits for, unless it is stopped
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        limit = time.monotonic() + PATIENCE_S
        while first.poll() is None:
            if time.monotonic() > limit:
                pytest.fail("the sandbox didn't end; there are still: " + "; ".join(map(_told, self._entered())))
            _reap_inner()
            time.sleep(0.01)
        assert first.stdout is not None
        first.stdout.close()
        for group in self.groups:
            _remove_group(group)

    def _entered(self):
        """Return the pids of its control groups, as seen from outside."""
        return sorted({pid for group in self.groups for below, _, _ in os.walk(group) for pid in _pids(Path(below))})


def _reap_inner():
    """Reap what has ended in a sandbox and has become this process's child, as its parent had ended before.

    Where a test has made this process a subreaper, nobody else does, and the sandbox's first process waits for it.
    """
    for thread in Path("/proc/self/task").iterdir():
        children = ""
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            children = (thread / "children").read_text()
        for pid in map(int, children.split()):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                namespaces = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
                if len(namespaces) > 1 and any(line.startswith("State:\tZ") for line in lines):
                    os.waitpid(pid, os.WNOHANG)


def _pids(group):
    with contextlib.suppress(OSError):
        return [int(each) for each in (group / "cgroup.procs").read_text().split()]
    return []


def _thaw(group):
    """Let processes that are frozen die."""
    for below, _, _ in os.walk(group):
        for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (file := Path(below, name)).exists():
                with contextlib.suppress(OSError):
                    file.write_text(word)


def _told(pid):
    """Return what a process is, and what it waits for."""
    found = []
    for name in ("comm", "stat", "wchan", "stack"):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/{name}").read_text().strip())
    return " ".join(found)


def _figureless(name, line):
    """Return a line of a network's table without what it counts."""
    words = line.split()
    return words[0] if name == "dev" else f"{words[0]} {words[-1]}" if name == "ipv6_route" else " ".join(words)


def _counts(path):
    """Whether a file below /run tells of a container that is still there."""
    # dockerd removes what its network namespaces lay on a minute later, by itself; podman leaves an empty folder of
    # what could not be made, under any runtime; crun keeps the newest few filters.
    # An ordinary user's images are below /run too.
    return path.parent.name not in {"netns", "persist"} and not {".cache", "peer"} & set(path.parts)


def _remove_group(group):
    until = time.monotonic() + PATIENCE_S
    for below, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(below).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:  # its last processes are still being taken down
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


def until(condition, what, every_s=0.05):
    """Wait for something that must come; fail the test where it doesn't."""
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > limit:
            pytest.fail(f"{what} didn't come in {PATIENCE_S} seconds")
        time.sleep(every_s)
    return found
