"""Stages: what each begins with, which others it takes files of, and which of them a target needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.contracts.builder import BuildFailed, Range
from moby_builder.dockerfile.frontend.drafts import Draft
from moby_builder.dockerfile.language.instructions import Add, Copy, From, Instruction, Run, Stage, Workdir
from moby_builder.dockerfile.operations import EmptySource, Node

if TYPE_CHECKING:
    from moby.contracts.types import Platform
    from moby_builder.dockerfile.frontend.contexts import Folder

__all__ = ["SCRATCH", "Lent", "Site", "Sites", "Task", "needed"]

SCRATCH = "scratch"


@frozen
class Lent:
    """A secret or an agent that a RUN may have."""

    where: Range
    required: bool


class Site:
    """A stage while it is built; also an image or a context that files are taken of without being one."""

    def __init__(self, origin: From, *, label: str = "", implied: bool = False) -> None:
        self.origin = origin
        self.label = label
        """What its steps are called by: its name, or `stage-1`."""
        self.implied = implied
        """Whether the file has no such stage."""
        self.platform: Platform | None = None
        self.base: Site | None = None
        self.tasks: list[Task] = []
        self.context: str | None = None
        """The named context that stands for all of it."""
        self.folder: Folder | None = None
        """Where it is a folder that the client lends."""
        self.loose = False
        """Whether its root is but files yet, which nobody may work on."""
        self.based = False
        """Whether it is known what it begins with."""
        self.done = False
        self.root = Node(EmptySource())
        self.draft = Draft({})
        self.environment: dict[str, str] = {}
        self.declared: dict[str, str | None] = {}
        """Arguments that it declared, and their values."""
        self.inherited: dict[str, str] | None = None
        """Variables of what it begins with, once they are known, where that is no other stage."""
        self.found_for: Platform | None = None
        """For which platform its image is."""
        self.ignore_cache = False
        self.has_cmd = False
        self.total = 0
        """Of its steps, as their names count them."""
        self.shown = 0
        self.secrets: dict[str, Lent] = {}
        self.agents: dict[str, Lent] = {}
        self.steps: list[tuple[str, Node | None]] = []
        """Its instructions, and what does their work."""

    def set_variable(self, name: str, value: str) -> None:
        """Set a variable that programs see and instructions may ask for; the last that is set is the last."""
        self.environment.pop(name, None)
        self.environment[name] = value

    @property
    def where(self) -> tuple[Range, ...]:
        """The lines of its FROM, or of what takes its files."""
        return (self.origin.written.range,) if self.origin.written.range.first else ()


@frozen
class Task:
    """An instruction, and whose files it takes, by what it calls them."""

    instruction: Instruction
    sites: Mapping[str, Site] = field(factory=dict)


class Sites:
    """All stages of a file, and what else files are taken of."""

    def __init__(self) -> None:
        self.stages: list[Site] = []
        self.implied: list[Site] = []
        self._names: dict[str, Site] = {}

    def add(self, stage: Stage, origin: From, *, context: str | None = None) -> Site:
        """Add a stage of the file, its FROM expanded; it may begin with one that was added before."""
        site = Site(origin, label=origin.name or f"stage-{len(self.stages)}")
        site.context = context
        self.stages.append(site)
        if context is None:
            site.base = self._names.get(origin.base.lower())
            site.total = int(origin.base != SCRATCH and site.base is None) + sum(
                isinstance(each, Add | Copy | Run | Workdir) for each in stage.instructions
            )
        if origin.name:
            self._names[origin.name.lower()] = site
        return site

    def task(self, instruction: Instruction) -> Task:
        """Return an instruction with those whose files it takes; what no stage is called is an image or a context."""
        if isinstance(instruction, Copy) and "$" in instruction.origin:
            raise BuildFailed(
                "variable expansion is not supported for --from, "
                "define a new stage with FROM using ARG from global scope as a workaround",
                ranges=(instruction.written.range,),
            )
        sites = {name: self._find(name, instruction) for name in _origins(instruction)}
        return Task(instruction, sites)

    def names(self) -> tuple[str, ...]:
        """Return how stages are called."""
        return tuple(site.label for site in self.stages)

    def target(self, name: str) -> Site:
        """Return the stage to build: of this name or number, the last for none."""
        if not name:
            return self.stages[-1]
        found = self._names.get(name.lower())
        if found is None and name.isdecimal() and int(name) < len(self.stages):
            found = self.stages[int(name)]
        if found is None:
            raise BuildFailed(f'target stage "{name}" could not be found')
        return found

    def check_order(self) -> None:
        """Raise BuildFailed where stages need each other in a circle."""
        done: set[Site] = set()
        for site in self.stages:
            _walk(site, done)

    def _find(self, name: str, instruction: Instruction) -> Site:
        if isinstance(instruction, Copy) and name.lstrip("+-").isdecimal():
            if not 0 <= int(name) < len(self.stages):
                raise BuildFailed(f"invalid stage index {name}", ranges=(instruction.written.range,))
            return self.stages[int(name)]
        found = self._names.get(name.lower())
        if found is None:
            found = Site(From(base=name, written=instruction.written), implied=True)
            self.implied.append(found)
        return found


def needed(targets: Iterable[Site]) -> set[Site]:
    """Return all that stages need, themselves included."""
    found: set[Site] = set()
    stack = list(targets)
    while stack:
        site = stack.pop()
        if site not in found:
            found.add(site)
            stack.extend(_needs(site))
    return found


def _needs(site: Site) -> Iterator[Site]:
    if site.base is not None:
        yield site.base
    for task in site.tasks:
        yield from task.sites.values()


def _origins(instruction: Instruction) -> Iterator[str]:
    """Yield whose files an instruction takes."""
    if isinstance(instruction, Copy) and instruction.origin:
        yield instruction.origin
    if isinstance(instruction, Run):
        for mount in instruction.mounts:
            yield _mount_origin(mount.fields)


def _mount_origin(fields: Sequence[str]) -> str:
    """Return whose files a mount shows; one that names nobody has none."""
    pairs = (each.partition("=") for each in fields)
    return next((value for key, _, value in pairs if key.lower() == "from" and value), SCRATCH)


def _walk(start: Site, done: set[Site]) -> None:
    """Go down from a stage, as far as is not known to be in order."""
    path: dict[Site, tuple[Range, ...]] = {}
    stack: list[tuple[Site, Iterator[tuple[Site, Range]]]] = [(start, _takes(start))]
    while stack:
        site, takes = stack[-1]
        path.setdefault(site, ())
        for other, where in takes:
            path[site] = (where,)
            if other in path:
                ranges = tuple(each for ranges in path.values() for each in ranges)
                raise BuildFailed(f"circular dependency detected on stage: {other.label}", ranges=ranges)
            if other not in done:
                stack.append((other, _takes(other)))
                break
        else:
            done.add(site)
            del path[site]
            stack.pop()


def _takes(site: Site) -> Iterator[tuple[Site, Range]]:
    for task in site.tasks:
        for other in task.sites.values():
            yield other, task.instruction.written.range
    if site.base is not None:
        yield site.base, site.origin.written.range
