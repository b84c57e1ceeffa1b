"""Parameters: their defaults, what sets them, and `${name}` in the texts of a manifest."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, evolve, field

from moby.errors import Origin
from moby.manifest.assembly import Setting
from moby.manifest.document import MOST_BYTES, compose
from moby.manifest.draft import Layer
from moby.manifest.paths import join
from moby.manifest.report import Report, shown
from moby.manifest.tree import Entry, Map, Node, Scalar, Sequence, is_null, written

__all__ = ["VARIABLE", "Parameters"]

VARIABLE = "MOBY_PARAM_"
"""A variable sets a parameter by this and its name, in capitals and with _ for -."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_USE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@define
class Parameters:
    """The parameters of an assembly, by name, each with all that set it, the winner last."""

    report: Report
    settings: dict[str, list[Setting]] = field(factory=dict)
    _variables: dict[str, str] = field(factory=dict)
    """The parameter that each variable sets."""
    _expanded: int = 0
    """Characters that came out of expansions; a bound, since a parameter may be used often."""

    @property
    def values(self) -> dict[str, Any]:
        """The value of every parameter that is there."""
        return {name: each[-1].value for name, each in self.settings.items() if each[-1].value is not None}

    def declare(self, layers: Iterable[Layer]) -> None:
        """Take over the defaults that the layers give; a later one wins, null removes."""
        for layer in layers:
            entry = layer.root.entries.get("parameters")
            if entry is None:
                continue
            if is_null(entry.node) and self.settings:
                for each in self.settings.values():
                    each.append(Setting(None, entry.node.origin))
            elif not isinstance(entry.node, Map):
                self.report.add("parameters must be a map of names to defaults", entry.node.origin)
            else:
                for each_entry in entry.node.entries.values():
                    self._declare(each_entry)

    def _declare(self, entry: Entry) -> None:
        name, node = entry.key, entry.node
        if not _NAME.fullmatch(name):
            self.report.add(
                f"{shown(name)} can't be a parameter", entry.origin, fix="letters, digits, _ and -, a letter first"
            )
        elif is_null(node) and name not in self.settings:
            self.report.add(
                f"null removes what was inherited, and there is no parameter {name}",
                node.origin,
                fix=f'give it a default: {name}: ""',
            )
        elif not isinstance(node, Scalar):
            self.report.add(f"parameter {name} must be one value, no map or list", node.origin)
        elif self._without_uses(name, node.value, node.origin):
            variable = _variable(name)
            other = self._variables.setdefault(variable, name)
            if other != name:
                message = f"parameters {other} and {name} would be set by the same variable {variable}"
                self.report.add(message, entry.origin, fix="rename one")
            self.settings.setdefault(name, []).append(Setting(node.value, node.origin, written(node)))

    def _without_uses(self, name: str, value: object, origin: Origin) -> bool:
        if isinstance(value, str) and "${" in value.replace("$${", ""):
            self.report.add(f"parameter {name} can't itself use parameters", origin, fix="$${ writes ${")
            return False
        return True

    def take_environment(self, environ: Mapping[str, str]) -> None:
        """Set parameters from the variables MOBY_PARAM_NAME."""
        values = self.values
        names = {variable: name for variable, name in self._variables.items() if name in values}
        for variable in sorted(each for each in environ if each.startswith(VARIABLE)):
            if variable in names:
                self.set(names[variable], environ[variable], Origin(variable))
            else:
                what = "parameter in the environment"
                self.report.unknown(what, variable, names, Origin(variable), inherited=True)

    def set(self, name: str, given: str, origin: Origin) -> None:
        """Set a parameter to what a flag or a variable says, read as the type of its default."""
        if name not in self.values:
            self.report.unknown("parameter", name, self.values, origin, inherited=True)
            return
        held = self.values[name]
        if isinstance(held, str):
            value: Any = given
        else:
            silent = Report()
            node = compose(given.encode("utf-8", "surrogateescape"), origin.source, silent, line_numbers=False)
            value = node.value if isinstance(node, Scalar) and not node.quoted else None
            if isinstance(held, float) and type(value) is int:
                value = float(value)
            if silent.problems or type(value) is not type(held):
                self.report.add(f"parameter {name} must be {_KINDS[type(held)]}, not {shown(given)}", origin)
                return
        if self._without_uses(name, value, origin):
            self.settings[name].append(Setting(value, origin))

    def expand(self, node: Node) -> Node:
        """Return a tree in which every `${name}` has the parameter's value; typed where it is the whole text."""
        if isinstance(node, Sequence):
            return Sequence(tuple(self.expand(item) for item in node.items), node.origin)
        if isinstance(node, Map):
            entries = {key: Entry(key, each.origin, self.expand(each.node)) for key, each in node.entries.items()}
            return Map(entries, node.origin)
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        whole = _USE.fullmatch(node.value)
        if whole and whole[1] is not None:
            setting = self._setting(whole[1], node.origin)
            value = setting.value if setting else ""
            return evolve(node, value=value.replace("$${", "${") if isinstance(value, str) else value)
        return evolve(node, value=_USE.sub(lambda found: self._text(found, node.origin), node.value))

    def _text(self, found: re.Match[str], origin: Origin) -> str:
        if found[0] == "$${":
            return "${"
        if found[1] is None:
            self.report.add("${ without its }", origin, fix="$${ writes ${")
            return ""
        setting = self._setting(found[1], origin)
        if setting is None:
            return ""
        if isinstance(setting.value, bool):
            return "true" if setting.value else "false"
        return setting.written or str(setting.value).replace("$${", "${")

    def _setting(self, name: str, origin: Origin) -> Setting | None:
        settings = self.settings.get(name)
        if not settings or settings[-1].value is None:
            fix = f"declare it, as in `parameters: {{{name}: ...}}`; $${{ writes ${{"
            self.report.unknown("parameter", name, self.values, origin, inherited=True, otherwise=fix)
            return None
        if self._expanded > MOST_BYTES:
            return None
        self._expanded += len(str(settings[-1].value))
        if self._expanded > MOST_BYTES:
            self.report.add(f"parameters expand to more than {MOST_BYTES >> 20} MiB", origin)
        return settings[-1]

    def origins(self) -> dict[str, tuple[Setting, ...]]:
        """Return what set each parameter, by path."""
        return {join("parameters", name): tuple(each) for name, each in self.settings.items()}


def _variable(name: str) -> str:
    return VARIABLE + name.upper().replace("-", "_")
