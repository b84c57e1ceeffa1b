"""Parts that live in other processes: how those are started, and the clients that stand for them here."""

import json
import os
import select
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from moby.engine.copies import archive, copied
from moby.errors import MobyError, Unavailable
from moby.placement import outliving
from moby.plan import ENGINE, Instance, Plan, dump
from moby.served import faults
from moby.served.launching import Launcher
from moby.served.stored import stored_file
from moby.served.unheard import end_unheard
from moby.surroundings import Roots, Surroundings
from moby.wiring import protocol_of

__all__ = ["Elsewhere", "failure_of", "import_path", "socket_of"]

KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "JOURNAL_STREAM", "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
)  # fmt: skip
"""Variables that the process of a part has; others may be large, secret, or of one call only."""
ENDING_S = 40.0
"""For a process to end that another one follows; a keeper kills it before that."""
TRIES = 3
"""How often a part may end at its start before nobody waits for it any more."""


def socket_of(roots: Roots, key: str) -> Path:
    """Return where a served part listens."""
    return roots.run / "served" / f"{key.replace('/', '.')}.socket"


def failure_of(roots: Roots, key: str) -> Path:
    """Return the file that says why a served part did not start."""
    return socket_of(roots, key).with_suffix(".failed")


def import_path(roots: Roots, *, lasting: bool = True) -> list[str]:
    """Return where the process of a part is to import from: as here, but a copy of the archive where it lasts."""
    places = [each for each in sys.path if each and Path(each).is_absolute()]
    if not lasting:
        return places
    own, copy = archive(), copied(roots)
    return [str(copy) if own is not None and Path(each) == own else each for each in places]


@define
class Elsewhere:
    """The processes of one plan's served parts, as one process that needs some of them sees them."""

    plan: Plan
    around: Surroundings
    settings: Mapping[str, Mapping[str, Any]]
    process: str = ENGINE
    replace: bool = False
    """Whether parts that run by another distribution, or with other settings, are replaced by this one's."""
    lasting: bool = True
    """Whether parts that are started may go on once this process has ended, when its archive may be replaced."""
    launcher: Launcher = field(init=False)
    _clients: list[Any] = field(factory=list)
    _commands: dict[str, list[str]] = field(factory=dict)
    _begun: set[str] = field(factory=set)
    _leaving: dict[str, int] = field(factory=dict)
    """Processes that end before the parts that were begun start, and that aren't to be taken for these."""
    _user: int = -1
    _path: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.launcher = Launcher(self.around.roots.run, linger_s=self.around.linger_s)

    def begin(self, keys: Iterable[str]) -> None:
        """Have parts started that will be waited for later, one by one: they start side by side."""
        for key in keys:
            if self._user < 0 and self.process == ENGINE:  # parts that use each other don't keep each other
                self._user = self.launcher.user()
            failure_of(self.around.roots, key).unlink(missing_ok=True)
            self._leaving[key] = self._want(key, replace=self.replace)
            self._begun.add(key)

    def client(self, instance: Instance) -> Any:
        """Start a part's process where it doesn't run, and return its client; what kept it from starting is raised.

        Unavailable where it neither starts nor fails in time.
        """
        from moby.served.client import client

        roots, key = self.around.roots, instance.key
        failure = failure_of(roots, key)
        if key not in self._begun:
            self.begin([key])
        _ended(self._leaving.pop(key, 0))
        made = client(protocol_of(instance), socket_of(roots, key), name=key, revive=lambda: self._revive(key))
        try:
            made.reach(_Watch(failure, self.launcher, key))
        except BaseException:
            made.close()
            self._give_up(key, failure)
            raise
        self._clients.append(made)
        return made

    def close(self) -> None:
        """Let the parts go, which end in a while unless somebody else uses them, or they outlive the engine."""
        for each in self._clients:
            each.close()
        if self._user >= 0:
            os.close(self._user)
            self._user = -1

    def _give_up(self, key: str, failure: Path) -> None:
        """End a part that fails to start; but what it holds, containers' pipes say, is kept for one that will."""
        told = failure.exists()
        failure.unlink(missing_ok=True)
        if any(each.key == key and not each.held and (told or each.failures) for each in self.launcher.parts_now()):
            self.launcher.stop(key)

    def _revive(self, key: str) -> None:
        try:
            self._want(key, replace=False)
        except OSError as error:
            raise Unavailable(f"{key}: its process can't be started: {error}") from error

    def _want(self, key: str, *, replace: bool) -> int:
        environ = {name: value for name, value in os.environ.items() if name in KEPT}
        environ["PYTHONPATH"] = os.pathsep.join(self._places())
        outlives = key in outliving(self.plan)
        end_unheard(self.launcher, key, socket_of(self.around.roots, key))
        return self.launcher.want(key, self._command(key), environ, outlives=outlives, replace=replace)

    def _places(self) -> list[str]:
        if not self._path:
            self._path = import_path(self.around.roots, lasting=self.lasting)
        return self._path

    def _command(self, key: str) -> list[str]:
        """Return the command that runs a part; it differs where its code, its plan or its settings do."""
        if key not in self._commands:
            roots = self.around.roots
            plan = self.plan.closure(frozenset({key}))
            data = {
                "key": key,
                "path": self._places(),
                "plan": dump(plan),
                "outlives": key in outliving(self.plan),
                "settings": {name: dict(found) for name, found in self.settings.items() if plan.get(name)},
                "roots": [str(roots.state), str(roots.run), str(roots.cache), roots.engine],
                "log": [self.around.log_level, self.around.log_form],
                "linger": self.around.linger_s,
            }
            spec = stored_file(roots.run / "served", json.dumps(data, sort_keys=True).encode(), ".json")
            self._commands[key] = [sys.executable, "-S", "-P", "-m", "moby.engine.part", str(spec)]
        return self._commands[key]


def _ended(pid: int) -> None:
    """Wait until a process has ended, which its keeper sees to in time; 0 is none."""
    if not pid:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.poll(ENDING_S * 1000)
    finally:
        os.close(process)


class _Watch:
    """Is called again and again while a part is waited for, and raises what keeps it from starting."""

    def __init__(self, failure: Path, launcher: Launcher, key: str) -> None:
        self._failure, self._launcher, self._key = failure, launcher, key
        self._calls = 0

    def __call__(self) -> None:
        """Raise what the part has said, or, after several tries, what is in the log."""
        try:
            data = json.loads(self._failure.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self._calls += 1
            if self._calls % 20 == 0:
                self._look()
            return
        error = faults.load(data)
        raise error if isinstance(error, MobyError) else MobyError(str(error)) from error

    def _look(self) -> None:
        failures = max((each.failures for each in self._launcher.parts_now() if each.key == self._key), default=0)
        if failures < TRIES:
            return
        log = self._launcher.folder / "log"
        try:
            said = log.read_text("utf-8", "replace")[-2000:].strip().splitlines()
        except FileNotFoundError:
            said = []
        last = next((line for line in reversed(said) if " keeper: " not in line), "")
        raise Unavailable(f"{self._key}: its process doesn't start: {last}", hint=f"see {log}")
