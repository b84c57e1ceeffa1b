"""An assembly in the making: what the layers read so far come to, and everything that was said where."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from moby.errors import Origin
from moby.manifest.assembly import Setting
from moby.manifest.paths import join
from moby.manifest.report import Report
from moby.manifest.tree import Map, Node, is_null, plain, written

__all__ = ["Draft", "Layer", "Names", "Open", "Part", "thawed"]

Names = tuple[str, ...]
"""A path as names: `("components", "runtime", "runc")`."""


@frozen
class Open:
    """An option that is left open until the engine starts, with its default."""

    value: Any


@frozen(eq=False)
class Layer:
    """One file, or one flag, that is laid over what came before."""

    source: str
    root: Map
    inherits: bool = False
    """Whether it extends something: then a null must find what it removes."""


@define
class Part:
    """A part as the layers so far choose it."""

    use: str
    name: str
    fields: dict[str, Any] = field(factory=dict)
    """`version`, `default`, `served`, `policy`, where given."""
    config: dict[str, Any] = field(factory=dict)
    default_in: Layer | None = None
    """The layer that marked it as the default."""


@define
class Draft:
    """What is merged so far; the settings keep also what was overridden and removed."""

    report: Report
    name: str = ""
    kinds: dict[str, dict[str, Part]] = field(factory=dict)
    removed: set[str] = field(factory=set)
    """Kinds that shall not be filled."""
    distribution: dict[str, Any] = field(factory=dict)
    settings: dict[Names, list[Setting]] = field(factory=dict)
    _under: dict[Names, list[Names]] = field(factory=dict)
    """For every path that is there or above one that is, the paths right below it."""

    def note(self, path: Names, node: Node, origin: Origin | None = None) -> None:
        """Write down that a layer gives this value at this path."""
        self.settings.setdefault(path, []).append(Setting(plain(node), origin or node.origin, written(node)))
        self._link(path)

    def _link(self, path: Names) -> None:
        if path not in self._under:
            self._under[path] = []
            if len(path) > 1:
                self._link(path[:-1])
                self._under[path[:-1]].append(path)

    def was_said(self, path: Names) -> bool:
        """Tell whether anything was said of this path, be it that it is removed."""
        return path in self.settings

    def drop(self, path: Names, origin: Origin) -> None:
        """Write down that what stood at this path, and under it, is there no longer."""
        settings = self.settings.get(path)
        if settings and settings[-1].value is not None:
            settings.append(Setting(None, origin))
        for each in self._under.get(path, ()):
            self.drop(each, origin)

    def nothing_to_remove(self, path: Names, origin: Origin) -> None:
        """Report a null that finds nothing."""
        message = f"null removes what was inherited, and there is no {join(*path)}"
        self.report.add(message, origin, fix="take the line out", inherited=True, harmless=True)

    def lay_map(self, path: Names, target: dict[str, Any], node: Map, *, options: bool = False) -> None:
        """Merge a map into another: maps merge, all else replaces, null removes.

        `options` says that these are options of a component, of which `{open: default}` leaves one open.
        """
        for key, entry in node.entries.items():
            here = (*path, key)
            held = target.get(key)
            opened = options and isinstance(entry.node, Map) and set(entry.node.entries) == {"open"}
            if is_null(entry.node):
                if key not in target and not self.was_said(here):
                    self.nothing_to_remove(here, entry.node.origin)
                target.pop(key, None)
                self.drop(here, entry.node.origin)
            elif isinstance(entry.node, Map) and not opened:
                if not isinstance(held, dict):
                    held = target[key] = {}
                self.note(here, entry.node, entry.origin)
                self.lay_map(here, held, entry.node)
            else:
                if isinstance(held, dict):
                    self.drop(here, entry.node.origin)
                self.note(here, entry.node)
                value = plain(entry.node)
                target[key] = Open(value["open"]) if opened else value


def thawed(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options into those with a value and those left open."""
    given = {key: value for key, value in values.items() if not isinstance(value, Open)}
    opened = {key: value.value for key, value in values.items() if isinstance(value, Open)}
    return given, opened
