"""Parts whose life a test can follow: each writes down what happens to it, and fails where it is told to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.command import Command
from moby.contracts.kind import contract
from moby.errors import HostUnfit
from moby.hookspecs import hookimpl

EVENTS: list[str] = []
CHANGES: list[tuple[str, str]] = []


@contract("engine-part", version=1, many=True)
class Part(Protocol):
    name: str


@frozen
class Config:
    name: str = "part"
    fail: str = field(default="", metadata={"help": "at which step to fail"})
    count: int = 1


class Toy:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.name = config.name
        self._step("make")

    def __enter__(self) -> "Toy":
        self._step("start")
        return self

    def __exit__(self, *error: object) -> None:
        self._step("stop")

    def go_on(self) -> None:
        self._step("go on")

    def wind_down(self, timeout_s: float | None) -> None:
        self._step(f"wind down within {timeout_s}")

    def reclaim(self) -> None:
        self._step("reclaim")

    def check(self, addresses: Sequence[str] = ()) -> None:
        self._step("check")

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        self._step("listen")
        return tuple(addresses)

    def drain(self, timeout_s: float) -> bool:
        self._step("drain")
        return True

    def health(self) -> str:
        if self.config.fail == "health":
            raise HostUnfit("the disk is full")
        return ""

    def _step(self, step: str) -> None:
        EVENTS.append(f"{step} {self.name}")
        if self.config.fail == step:
            raise HostUnfit(f"told to fail at {step}")


def make_base(config: Config) -> Part:
    """A part that needs nothing."""
    return Toy(config)


def make_top(
    config: Config,
    *,
    parts: Mapping[str, Part],
    first: Part,
    maybe: Command | None,
    place: Place,
    clock: Clock,
    log: Log,
) -> Part:
    """A part that needs others."""
    assert place.state.is_dir() and clock.now_ns() > 0
    log.debug("made", parts=sorted(parts))
    toy = Toy(config)
    toy.got = (list(parts), first.name, maybe)  # type: ignore[attr-defined]
    toy.known = dict(place.parts)  # type: ignore[attr-defined]
    return toy


class Echo:
    def __init__(self, part: Part) -> None:
        self.part = part

    def run(self, arguments: "list[str]") -> int:
        print(self.part.name, *arguments)
        return 7


def make_command(*, part: Part) -> Command:
    """Print the part's name."""
    return Echo(part)  # type: ignore[arg-type]


@hookimpl
def moby_components() -> Iterable[Component]:
    return [
        Component("base", make_base),
        Component("top", make_top),
        Component("echo", make_command),
    ]


@hookimpl
def moby_instance_changed(instance: str, state: str) -> None:
    CHANGES.append((instance, state))
