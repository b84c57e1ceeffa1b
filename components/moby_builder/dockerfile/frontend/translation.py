"""A Dockerfile for one platform: its stages, translated into operations, instruction by instruction."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from attrs import evolve

from moby.contracts.builder import BuildFailed, Range
from moby.contracts.types import Platform
from moby_builder.dockerfile.frontend import files, platforms, runs
from moby_builder.dockerfile.frontend.bases import Bases, begin, settle
from moby_builder.dockerfile.frontend.settings import SETTINGS
from moby_builder.dockerfile.frontend.stages import Site, Sites, Task
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language import expansion, parser, words
from moby_builder.dockerfile.language.failures import place
from moby_builder.dockerfile.language.instructions import (
    Add,
    Copy,
    Dockerfile,
    From,
    Instruction,
    Run,
    Stage,
    Workdir,
)
from moby_builder.dockerfile.operations import EmptySource, Node

__all__ = ["Translation"]


class Translation:
    """All stages of a file for one platform."""

    def __init__(self, dockerfile: Dockerfile, around: Surroundings) -> None:
        self._file = dockerfile
        self.around = around
        """What holds for all stages."""
        self._sites = Sites()
        self.needed: list[Site] = []
        """The stages that were translated, in the file's order."""
        for stage in dockerfile.stages:
            with self._place(stage.origin.written.range):
                self._add(stage)

    @property
    def stages(self) -> Sequence[Site]:
        """All stages of the file."""
        return self._sites.stages

    @property
    def predefined(self) -> Mapping[str, str]:
        """Arguments that are there by themselves."""
        return self.around.predefined

    @property
    def arguments(self) -> Mapping[str, str]:
        """Values of the file's arguments, and of those that are there by themselves."""
        return self.around.arguments

    def target(self, name: str) -> Site:
        """Translate what a stage needs, and return it."""
        self._link()
        target = self._sites.target(name)
        self._translate([target])
        settle(target, self.around.epoch_s)
        return target

    def everything(self) -> None:
        """Translate all stages."""
        self._link()
        self._translate(self._sites.stages)

    def _add(self, stage: Stage) -> None:
        origin = stage.origin
        base = self._expand(origin.base, self.around.arguments)
        if not base:
            raise BuildFailed(f"base name ({origin.base}) should not be blank")
        platform = self._platform(origin)
        context = None
        if origin.name and self.around.contexts.knows(origin.name, platform or self.around.platform):
            context = origin.name
        site = self._sites.add(stage, evolve(origin, base=base), context=context)
        site.platform = platform
        request = self.around.request
        names = {each.lower() for each in request.no_cache_stages}
        site.ignore_cache = request.no_cache or (origin.name.lower() in names if origin.name else False)

    def _platform(self, origin: From) -> Platform | None:
        if not origin.platform:
            return None
        text = self._expand(origin.platform, self.around.arguments)
        if not text:
            raise BuildFailed(f"empty platform value from expression {origin.platform}")
        with place("", "", None, f"failed to parse platform {origin.platform}: "):
            return platforms.parse(text)

    def _link(self) -> None:
        """Find whose files each instruction takes, once all stages are known."""
        sites = self._sites
        for site, stage in zip(sites.stages, self._file.stages, strict=True):
            if site.context is None:
                with self._place(None):
                    site.tasks = [sites.task(each) for each in stage.instructions]
        with self._place(None):
            sites.check_order()
        if len(sites.stages) == 1 and not sites.implied:
            sites.stages[0].label = ""

    def _translate(self, targets: list[Site]) -> None:
        bases = Bases(self._sites, self.around, self._parse_trigger)
        with self._place(None):
            found = bases.find(targets)
        self.needed = [site for site in self._sites.stages if site in found]
        for site in self.needed:
            if site.done:
                continue
            begin(site, self.around.epoch_s)
            source = None if isinstance(site.root.operation, EmptySource) else site.root
            site.steps.append((site.origin.written.text, source))
            for task in site.tasks:
                with self._place(task.instruction.written.range):
                    node = self._translate_task(site, task)
                site.steps.append((task.instruction.written.text, node))
            site.done = True

    def _translate_task(self, site: Site, task: Task) -> Node | None:
        """Do what an instruction does to its stage; return what does its work."""
        around = self.around
        instruction = expansion.expanded(
            task.instruction,
            lambda text: self._expand(text, site.environment),
            lambda text: words.expand(text, site.environment, quotes=False).text,
        )
        match instruction:
            case Run():
                return runs.run(site, task, instruction, around)
            case Copy():
                return files.copy(site, task, instruction, around)
            case Add():
                return files.add(site, instruction, around)
            case Workdir():
                return files.workdir(site, instruction, around)
            case _:
                SETTINGS[type(instruction)](site, instruction, around)
        return None

    def _parse_trigger(self, text: str, site: Site) -> Instruction:
        with self._place(site.origin.written.range):
            return parser.parse_trigger(text, site.origin)

    def _expand(self, text: str, variables: Mapping[str, str]) -> str:
        return words.expand(text, variables, escape=self._file.escape).text

    def _place(self, range: Range | None) -> AbstractContextManager[None]:
        return place(self._file.name, self._file.source, range)
