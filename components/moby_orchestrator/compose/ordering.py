"""Does something with each service once it is done with those that it depends on, as many at once as can be."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from moby_orchestrator.compose.files.project import Project

__all__ = ["in_order", "together"]

_MOST = 16
_T = TypeVar("_T")


def in_order(project: Project, do: Callable[[str], None], *, reverse: bool = False) -> None:
    """Call for each service; the first error is raised once what had begun has ended, and nothing else begins."""
    before: dict[str, set[str]] = {name: set() for name in project.services}
    for name, service in project.services.items():
        for other in service.get("depends_on") or ():
            if other in before:
                before[other if reverse else name].add(name if reverse else other)
    _run(before, do)


def together(things: list[_T], do: Callable[[_T], object]) -> None:
    """Call for each thing, at once; the first error is raised once all have ended."""
    if len(things) == 1:
        do(things[0])
    elif things:
        with ThreadPoolExecutor(min(_MOST, len(things))) as pool:
            for each in [pool.submit(do, thing) for thing in things]:
                each.result()


def _run(before: Mapping[str, set[str]], do: Callable[[str], None]) -> None:
    left = {name: set(each) for name, each in before.items()}
    running: dict[Future[None], str] = {}
    failed: BaseException | None = None
    with ThreadPoolExecutor(_MOST) as pool:
        while (left and failed is None) or running:
            if failed is None:
                for name in [name for name, each in left.items() if not each]:
                    running[pool.submit(do, name)] = name
                    del left[name]
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in ended:
                name = running.pop(each)
                failed = failed or each.exception()
                for others in left.values():
                    others.discard(name)
    if failed is not None:
        raise failed
