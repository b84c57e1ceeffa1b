"""What there is of a project: its containers, as the engine lists them."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from moby.errors import NotFound
from moby_orchestrator.compose import names
from moby_orchestrator.compose.calling import Engine, filters

__all__ = ["Container", "containers", "of_service", "the_one"]


@frozen
class Container:
    """A container of a project."""

    id: str
    name: str
    service: str
    number: int
    state: str
    labels: Mapping[str, str]
    listed: Mapping[str, Any]
    """All that the engine says of it in a list."""

    @property
    def thing(self) -> str:
        """How it is called in progress."""
        return f"Container {self.name}"

    @property
    def oneoff(self) -> bool:
        """Whether `run` made it."""
        return self.labels.get(names.ONEOFF) == "True"


def containers(engine: Engine, project: str, *, oneoff: bool = False) -> list[Container]:
    """Return a project's containers, by service and number; those of `run` where they are asked for."""
    listed = engine.get("containers", "json", all=True, filters=filters(label=[f"{names.PROJECT}={project}"]))
    found = [_read(each) for each in listed if names.SERVICE in each["Labels"]]
    return sorted((each for each in found if oneoff or not each.oneoff), key=lambda each: (each.service, each.number))


def _read(listed: Mapping[str, Any]) -> Container:
    labels = listed["Labels"]
    number = labels.get(names.NUMBER, "")
    return Container(
        listed["Id"],
        listed["Names"][0].lstrip("/"),
        labels[names.SERVICE],
        int(number) if number.isdecimal() else 0,
        listed["State"],
        labels,
        listed,
    )


def of_service(found: Iterable[Container], services: Iterable[str]) -> list[Container]:
    """Return the containers of some services; of no names, all."""
    wanted = set(services)
    return [each for each in found if not wanted or each.service in wanted]


def the_one(found: Iterable[Container], service: str, index: int = 0) -> Container:
    """Return a service's first container, or its how-manyth; NotFound where there is none."""
    for each in found:
        if each.service == service and index in (0, each.number):
            return each
    raise NotFound(f'service "{service}" is not running' + (f" container #{index}" if index else ""))
