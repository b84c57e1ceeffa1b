"""Outlines: the arguments, secrets and agents that a target may be given."""

from collections.abc import Iterator, Mapping

from attrs import frozen

from moby.contracts.builder import Range
from moby_builder.dockerfile.frontend.documents import encoded, filled, location, rendered, table
from moby_builder.dockerfile.frontend.stages import Lent, Site
from moby_builder.dockerfile.frontend.translation import Translation
from moby_builder.dockerfile.language import words
from moby_builder.dockerfile.language.instructions import Arg, Argument, Dockerfile

__all__ = ["outline"]


@frozen
class _Found:
    """An argument, its value and where it is declared."""

    argument: Argument
    value: str
    where: Range


def outline(file: Dockerfile, target: Site, translation: Translation) -> dict[str, bytes]:
    """Return what a target may be given, in the order of the file."""
    sites = _downwards(target)
    arguments = _arguments(file, sites, translation.arguments)
    secrets, agents = _lent(each.secrets for each in sites), _lent(each.agents for each in sites)
    document = {
        "name": target.origin.name,
        "description": target.origin.description,
        "args": [
            {
                "name": each.argument.name,
                **filled({"description": each.argument.description, "value": each.value}),
                "location": location([each.where]),
            }
            for each in arguments
        ],
        "secrets": list(map(_document, secrets)),
        "ssh": list(map(_document, agents)),
        "sources": [encoded(file.source)],
    }
    return rendered(filled(document), _text(target, arguments, secrets, agents))


def _downwards(target: Site) -> list[Site]:
    """Return a target and all that it needs, what it begins with before what it takes files of."""
    found: list[Site] = []
    stack = [target]
    while stack:
        site = stack.pop()
        if site not in found:
            found.append(site)
            taken = [other for task in site.tasks for other in task.sites.values()]
            stack += [*reversed(taken), *([site.base] if site.base is not None else [])]
    return found


def _arguments(file: Dockerfile, sites: list[Site], values: Mapping[str, str]) -> list[_Found]:
    """Return the arguments that stages declare, and those of the file that they use, each once."""
    own = {
        argument.name: _Found(argument, values.get(argument.name, ""), instruction.written.range)
        for instruction in file.arguments
        for argument in instruction.arguments
    }
    found: dict[str, _Found] = {}
    for site in sites:
        declared = {
            argument.name: _Found(argument, site.declared.get(argument.name) or "", task.instruction.written.range)
            for task in site.tasks
            if isinstance(task.instruction, Arg)
            for argument in task.instruction.arguments
        }
        for name, each in declared.items():
            # One without a value of its own is the file's, or the platform's.
            if each.argument.default is None and name in values:
                if name in own:
                    found.setdefault(name, own[name])
            else:
                found.setdefault(name, each)
        for name in _used(file, site, own, values):
            found.setdefault(name, own[name])
    return sorted(found.values(), key=lambda each: each.where.first)


def _used(file: Dockerfile, site: Site, own: Mapping[str, _Found], values: Mapping[str, str]) -> set[str]:
    """Return the file's arguments that a FROM uses, and those that their defaults use."""
    stage = next((each for each in file.stages if each.origin.written == site.origin.written), None)
    waiting = [stage.origin.base, stage.origin.platform] if stage is not None else []
    used: set[str] = set()
    while waiting:
        for name in words.expand(waiting.pop(), values, escape=file.escape).used - used:
            if name in own:
                used.add(name)
                waiting.append(own[name].argument.default or "")
    return used


def _lent(all_lent: Iterator[dict[str, Lent]]) -> list[tuple[str, Lent]]:
    found: dict[str, Lent] = {}
    for lent in all_lent:
        for name, each in lent.items():
            found.setdefault(name, each)
    return sorted(found.items(), key=lambda item: item[1].where.first)


def _document(item: tuple[str, Lent]) -> dict[str, object]:
    name, lent = item
    return {"name": name, **filled({"required": lent.required}), "location": location([lent.where])}


def _text(
    target: Site, arguments: list[_Found], secrets: list[tuple[str, Lent]], agents: list[tuple[str, Lent]]
) -> str:
    text = ""
    if target.origin.name or target.origin.description:
        rows = [["TARGET:", target.origin.name or "(default)"]]
        if target.origin.description:
            rows.append(["DESCRIPTION:", target.origin.description])
        text += table(rows, 1) + "\n"
    if arguments:
        rows = [[each.argument.name, each.value, each.argument.description] for each in arguments]
        text += table([["BUILD ARG", "VALUE", "DESCRIPTION"], *rows], 3) + "\n"
    for title, lent in (("SECRET", secrets), ("SSH", agents)):
        if lent:
            rows = [[name, "true" if each.required else ""] for name, each in lent]
            text += table([[title, "REQUIRED"], *rows], 3) + "\n"
    return text
