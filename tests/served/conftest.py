"""Plans of toy parts that are served, each with a root of its own; nothing is left behind."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve

from moby.component import Arity, facts_of
from moby.engine import Engine, start
from moby.placement import placed
from moby.plan import Binding, Instance, Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings

PATIENCE_S = 60.0
Running = Callable[..., AbstractContextManager[Engine]]


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "parts"))
    import served_toys

    return served_toys


def eventually(check: Callable[[], Any], what: str = "") -> Any:
    """Wait until a check is true, and return what it says."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < deadline, what or "it doesn't come to be"
        time.sleep(0.01)
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and isn't just its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def instance(toys: ModuleType) -> Callable[..., Instance]:
    components = {each.name: each for each in toys.moby_components()}

    def make(component: str, name: str = "", needs: str = "", **values: Any) -> Instance:
        facts = facts_of(components[component], distribution="toys 1", module="served_toys")
        bindings = {"shelf": Binding(Arity.ONE, (needs,))} if needs else {}
        return Instance(facts.kind, name or component, facts, bindings=bindings, **values)

    return make


@pytest.fixture
def plan(instance: Callable[..., Instance]) -> Callable[..., Plan]:
    def make(shelf: str = "threads", *, reader_served: bool = True) -> Plan:
        """A shelf that outlives the engine, a served reader of it, and a command that needs the shelf."""
        key = f"served-shelf/{shelf}"
        return placed(
            Plan(
                "toy",
                (
                    instance(shelf),
                    instance("plain", needs=key, served=reader_served),
                    instance("say", needs=key),
                ),
            )
        )

    return make


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    made = Surroundings(Roots.under(tmp_path / "root", "toy"), linger_s=0.2)
    yield made
    launcher = Launcher(made.roots.run, linger_s=0.2)
    launcher.end()
    eventually(lambda: launcher.running() is None)


@pytest.fixture
def running(around: Surroundings) -> Running:
    @contextmanager
    def run(plan: Plan, **options: Any) -> Iterator[Engine]:
        with start(plan, around=evolve(around, **options.pop("around", {})), **options) as engine:
            yield engine

    return run


def own_kib(pid: int) -> int:
    """Return the memory that a process alone has: what it maps of files costs nothing where others map them too."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in rollup)}
    return sizes["Anonymous"] + sizes["Swap"]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pids_of(root: Path) -> list[int]:
    """Return the processes that name a folder in their command."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            try:
                command = (each / "cmdline").read_bytes()
            except OSError:
                continue
            if str(root).encode() in command:
                found.append(int(each.name))
    return found
