"""Turns `--set PATH=VALUE` into a layer, which is merged like a file."""

from attrs import frozen

from moby.errors import Origin
from moby.manifest.document import compose
from moby.manifest.draft import Draft, Layer
from moby.manifest.parts import PART_KEYS
from moby.manifest.paths import split
from moby.manifest.report import Report, nearest, shown
from moby.manifest.tree import Entry, Map, Node

__all__ = ["Flag", "layer", "parse", "reaches"]

_SECTIONS = ("components", "distribution", "name", "parameters")


@frozen
class Flag:
    """One `--set`: the names of its path, and its value as text."""

    names: tuple[str, ...]
    text: str
    origin: Origin


def parse(given: str, report: Report) -> Flag | None:
    """Read one flag; None, with the reason reported, if it is none."""
    path, equals, value = given.partition("=")
    origin = Origin(f"--set {path}" if equals else "--set")
    names = split(path.strip())
    if not equals or names is None:
        report.add(f"--set takes PATH=VALUE, not {shown(given)}", origin, fix="--set components.runtime=runc")
        return None
    if names[0] not in _SECTIONS:
        message = f"{shown(path)} begins with none of {', '.join(_SECTIONS)}"
        meant = nearest(names[0], _SECTIONS) if len(names) > 1 else None
        rest = path.strip().removeprefix(f"{names[0]}.") if meant else path.strip()
        report.add(message, origin, fix=f"--set {meant or 'components'}.{rest}=...")
        return None
    if names[0] == "parameters" and len(names) != 2:
        report.add(f"--set {path}: a parameter is parameters.NAME", origin)
        return None
    return Flag(names, value, origin)


def layer(flag: Flag, report: Report) -> Layer | None:
    """Return the flag as a layer: a manifest that says just this."""
    node: Node | None = compose(_bytes(flag.text), flag.origin.source, report, line_numbers=False)
    if node is None:
        return None
    for name in reversed(flag.names):
        node = Map({name: Entry(name, flag.origin, node)}, flag.origin)
    assert isinstance(node, Map)
    return Layer(flag.origin.source, node, inherits=True)


def _bytes(text: str) -> bytes:
    # An empty value is YAML's null, which removes; `""` is an empty text.
    return (text if text.strip() else "null").encode("utf-8", "surrogateescape")


def reaches(flag: Flag, draft: Draft) -> bool:
    """Check that a flag's path leads to a part that is chosen, or to a key of one; report it if not."""
    if flag.names[0] != "components" or len(flag.names) < 3:
        return True
    kind, name = flag.names[1:3]
    held = draft.kinds.get(kind, {})
    if name in held or name == "use":
        return True
    if name not in PART_KEYS:
        draft.report.unknown("part or key", name, {*held, *PART_KEYS}, flag.origin, place=kind)
    elif not held:
        fix = f"--set components.{kind}=NAME before it"
        draft.report.add(f"no {kind} is chosen, so its {name} can't be set", flag.origin, fix=fix)
    return name in PART_KEYS and bool(held)
