"""Reads what a layer says about the parts of a kind, and checks it as far as it can be without the other layers."""

import re

from attrs import field, frozen

from moby.errors import Origin
from moby.manifest.assembly import Policy
from moby.manifest.report import Report, shown
from moby.manifest.tree import Entry, Map, Node, Scalar, Sequence, is_null

__all__ = ["NAME", "PART_KEYS", "WORD", "Spec", "read_spec", "read_specs", "text"]

PART_KEYS = ("use", "as", "version", "config", "default", "served", "policy")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
WORD = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_RANGE = re.compile(r"\s*(===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*", re.ASCII)


@frozen
class Spec:
    """One part as a layer writes it; what isn't said is empty."""

    node: Node
    use: str = ""
    name: str = ""
    """What `as` says."""
    entries: dict[str, Entry] = field(factory=dict)
    """All keys but `use` and `as`."""

    @property
    def origin(self) -> Origin:
        """Where it is written."""
        return self.node.origin


def text(report: Report, what: str, node: Node, *, example: str = "", harmless: bool = False) -> str | None:
    """Return a node's text; None, with the reason reported, if it is something else."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    if isinstance(node, Scalar) and node.value is not None:
        kind = "true or false" if isinstance(node.value, bool) else "a number"
        if "${" in node.text:
            message, fix = f"{what} must be text, and {node.text} is {kind} here", "quote the parameter's default"
        else:
            message, fix = f"{what} must be text, and unquoted {node.text} is {kind}", f'quote it: "{node.text}"'
    else:
        got = "null" if is_null(node) else "a map" if isinstance(node, Map) else "a list"
        message, fix = f"{what} must be text, not {got}", example and f"as in {example}"
    report.add(message, node.origin, fix=fix, harmless=harmless)
    return None


def read_specs(report: Report, kind: str, node: Node) -> list[Spec]:
    """Read every part of a kind's value; nothing, with the reasons reported, if one of them can't be read."""
    if not isinstance(node, Sequence):
        spec = read_spec(report, kind, node)
        return [spec] if spec else []
    if not node.items:
        report.add(f"an empty list chooses no {kind}", node.origin, fix=f"{kind}: null")
        return []
    specs = [read_spec(report, kind, item) for item in node.items]
    seen: dict[str, Spec] = {}
    for spec in specs:
        name = spec and (spec.name or spec.use)
        if not spec or not name:
            continue
        if name in seen:
            message = f"two parts of {kind} are called {name}; the other is at {seen[name].origin}"
            report.add(message, spec.origin, fix="give one a name of its own with `as`")
            return []
        seen[name] = spec
    return [spec for spec in specs if spec] if all(specs) else []


def read_spec(report: Report, kind: str, node: Node) -> Spec | None:
    """Read one part, a name or a map; None, with the reasons reported, if it can't be read."""
    if not isinstance(node, Map):
        use = _use(report, kind, node)
        return Spec(node, use) if use else None
    good, use, name = True, "", ""
    entries: dict[str, Entry] = {}
    for key, entry in node.entries.items():
        if key not in PART_KEYS:
            report.unknown("key", key, PART_KEYS, entry.origin, place=f"a part of {kind}", harmless=True)
        elif key == "use":
            use = _use(report, kind, entry.node) or ""
            good = bool(use) and good
        elif key == "as":
            name = _name(report, entry.node) or ""
            good = bool(name) and good
        elif _field_fits(report, key, entry.node):
            entries[key] = entry
    return Spec(node, use, name, entries) if good else None


def _name(report: Report, node: Node) -> str | None:
    name = text(report, "`as`", node)
    if name is None:
        return None
    if NAME.fullmatch(name) and name not in PART_KEYS:
        return name
    why = "it is a key of a part" if name in PART_KEYS else "lower-case letters, digits and dashes, no dash first"
    report.add(f"{shown(name)} can't be a part's name", node.origin, fix=why)
    return None


def _use(report: Report, kind: str, node: Node) -> str | None:
    """Read the name of a component, which may be written as its id."""
    use = text(report, f"the component of {kind}", node, example=f"`{kind}: NAME`")
    if use is None:
        return None
    prefix, slash, rest = use.rpartition("/")
    if slash and prefix != kind:
        report.add(f"{shown(use)} is no component of kind {kind}", node.origin, fix=f"{kind}: NAME")
        return None
    if not WORD.fullmatch(rest):
        report.add(f"{shown(use)} can't be a component", node.origin, fix="letters, digits and dashes")
        return None
    return rest


def _field_fits(report: Report, key: str, node: Node) -> bool:
    """Check the type of one key of a part; null is fine, since it removes."""
    if is_null(node):
        return True
    if key == "config":
        if not isinstance(node, Map):
            report.add("config must be a map of options", node.origin, harmless=True)
        return isinstance(node, Map)
    if key in {"default", "served"}:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return True
        report.add(f"{key} must be true or false", node.origin, harmless=True)
        return False
    value = text(report, key, node, harmless=True)
    if value is None:
        return False
    if key == "policy" and value not in set(Policy):
        report.unknown("policy", value, [each.value for each in Policy], node.origin, harmless=True)
        return False
    if key == "version" and not all(_RANGE.fullmatch(clause) for clause in value.split(",")):
        report.add(
            f"{shown(value)} is no range of versions", node.origin, fix='as in ">=1.1,<2" or "==1.4"', harmless=True
        )
        return False
    return True
