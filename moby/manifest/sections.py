"""Lays a layer's sections over a draft: the name, the components, what is to be generated."""

import re
from pathlib import Path
from typing import Any

from moby.manifest.assembly import DistributionChoice
from moby.manifest.draft import Draft, Layer
from moby.manifest.kinds import lay_kind
from moby.manifest.parts import NAME, text
from moby.manifest.report import shown
from moby.manifest.tree import Entry, Map, Node, Scalar, Sequence, is_null

__all__ = ["DISTRIBUTION_KEYS", "KEYS", "SCHEMA", "distribution_choice", "lay", "size_bytes"]

SCHEMA = 1
_DISTRIBUTION = ("distribution",)
KEYS = ("moby", "name", "extends", "parameters", "components", "distribution")
DISTRIBUTION_KEYS = ("formats", "config", "budget", "target")
_UNITS = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", 1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]{0,3})", re.ASCII)


def lay(draft: Draft, layer: Layer, *, flag: bool = False) -> None:
    """Merge a layer, its parameters expanded, into the draft."""
    entries = layer.root.entries
    if not flag:
        _check_schema(draft, layer)
    for key, entry in entries.items():
        if key == "name":
            _lay_name(draft, entry)
        elif key == "components":
            _lay_components(draft, layer, entry)
        elif key == "distribution":
            _lay_distribution(draft, layer, entry)
        elif key not in KEYS:
            draft.report.unknown("key", key, KEYS, entry.origin, harmless=True)


def _check_schema(draft: Draft, layer: Layer) -> None:
    entry = layer.root.entries.get("moby")
    if entry is None:
        draft.report.add(
            "`moby` is missing, the version of the schema", layer.root.origin, fix=f"add a line `moby: {SCHEMA}`"
        )
        return
    value = entry.node.value if isinstance(entry.node, Scalar) else None
    if type(value) is not int or value != SCHEMA:
        later = type(value) is int and value > SCHEMA
        fix = "install a newer moby-framework" if later else f"moby: {SCHEMA}"
        draft.report.add(f"schema version must be {SCHEMA}", entry.node.origin, fix=fix)


def _lay_name(draft: Draft, entry: Entry) -> None:
    draft.note(("name",), entry.node)
    draft.name = text(draft.report, "name", entry.node, harmless=True) or ""
    if draft.name and not NAME.fullmatch(draft.name):
        message = f"name {shown(draft.name)} must be lower-case letters, digits and dashes, no dash first"
        close = "-".join(re.findall("[a-z0-9]+", draft.name.lower()))
        draft.report.add(message, entry.node.origin, fix=f"write {close!r}" if close else "", harmless=True)


def _lay_components(draft: Draft, layer: Layer, entry: Entry) -> None:
    if not isinstance(entry.node, Map):
        draft.report.add("components must be a map of kinds", entry.node.origin, fix="components: {KIND: NAME}")
        return
    for kind, each in entry.node.entries.items():
        lay_kind(draft, layer, kind, each)


def _lay_distribution(draft: Draft, layer: Layer, entry: Entry) -> None:
    if is_null(entry.node):
        if not draft.was_said(_DISTRIBUTION):
            draft.nothing_to_remove(_DISTRIBUTION, entry.node.origin)
        draft.drop(_DISTRIBUTION, entry.node.origin)
        draft.distribution.clear()
        return
    if not isinstance(entry.node, Map):
        draft.report.add(
            f"distribution must be a map of {', '.join(DISTRIBUTION_KEYS)}", entry.node.origin, harmless=True
        )
        return
    good = {}
    for key, each in entry.node.entries.items():
        if key not in DISTRIBUTION_KEYS:
            draft.report.unknown("key", key, DISTRIBUTION_KEYS, each.origin, place="distribution", harmless=True)
        elif is_null(each.node) or _CHECKS[key](draft, each.node):
            good[key] = each
    draft.note(_DISTRIBUTION, entry.node, entry.origin)
    draft.lay_map(_DISTRIBUTION, draft.distribution, Map(good, entry.node.origin))
    if "target" in good and isinstance(draft.distribution.get("target"), str):
        draft.distribution["target"] = _beside(layer, draft.distribution["target"])


def _beside(layer: Layer, target: str) -> str:
    """Return the path of a facts file, which is written relative to the manifest that names it."""
    return target if target == "any" else str(Path(layer.source).parent / target)


def _formats_fit(draft: Draft, node: Node) -> bool:
    if not isinstance(node, Sequence) or not node.items:
        draft.report.add("formats must be a list of at least one", node.origin, fix="formats: [pyz]", harmless=True)
        return False
    names = [text(draft.report, "a format", item, harmless=True) for item in node.items]
    for at, (name, item) in enumerate(zip(names, node.items, strict=True)):
        if name is not None and name in names[:at]:
            draft.report.add(f"format {shown(name)} again", item.origin, fix="keep one", harmless=True)
            return False
    return None not in names


def _config_fits(draft: Draft, node: Node) -> bool:
    if not isinstance(node, Map):
        draft.report.add("config must be a map of formats to their options", node.origin, harmless=True)
        return False
    good = True
    for name, entry in node.entries.items():
        if not isinstance(entry.node, Map) and not is_null(entry.node):
            draft.report.add(f"config of {shown(name)} must be a map of options", entry.node.origin, harmless=True)
            good = False
    return good


def _budget_fits(draft: Draft, node: Node) -> bool:
    if isinstance(node, Scalar) and size_bytes(node.value) is not None:
        return True
    draft.report.add("budget must be a size", node.origin, fix="as in 20MB, 20MiB, or bytes", harmless=True)
    return False


def _target_fits(draft: Draft, node: Node) -> bool:
    target = text(draft.report, "target", node, harmless=True)
    if target in {"", "host"}:
        draft.report.add(
            "target must be `any` or the path of a facts file; `--target host` is for the command line",
            node.origin,
            harmless=True,
        )
    return target not in {None, "", "host"}


_CHECKS = {"formats": _formats_fit, "config": _config_fits, "budget": _budget_fits, "target": _target_fits}


def size_bytes(value: object) -> int | None:
    """Return how many bytes a size says: 1000-based MB, 1024-based MiB, or a number; None if it is no size."""
    if type(value) is int:
        return value if value > 0 else None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    unit = _UNITS.get(found[2].lower()) if found else None
    if not found or unit is None:
        return None
    return int(float(found[1]) * unit) or None


def distribution_choice(draft: Draft) -> DistributionChoice:
    """Return what is to be generated, as the draft has it."""
    given: dict[str, Any] = draft.distribution
    return DistributionChoice(
        formats=tuple(given.get("formats", ("pyz",))),
        config=given.get("config", {}),
        budget_bytes=size_bytes(given.get("budget")),
        target=given.get("target", "any"),
    )
