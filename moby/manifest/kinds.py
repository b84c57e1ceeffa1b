"""Merges what a layer says about a kind into the draft; the rules are in the package's docstring."""

from attrs import frozen

from moby.manifest.draft import Draft, Layer, Names, Part
from moby.manifest.parts import PART_KEYS, WORD, Spec, read_spec, read_specs
from moby.manifest.report import shown
from moby.manifest.tree import Entry, Map, Scalar, Sequence, is_null

__all__ = ["lay_kind"]


def lay_kind(draft: Draft, layer: Layer, kind: str, entry: Entry) -> None:
    """Merge what a layer says about one kind."""
    if not WORD.fullmatch(kind):
        draft.report.add(f"{shown(kind)} can't be a kind", entry.origin, fix="letters, digits and dashes")
        return
    merging, node = _Merging(draft, layer, kind), entry.node
    if is_null(node):
        merging.remove(entry)
    elif isinstance(node, Map) and merging.is_by_name(node):
        merging.lay_by_name(node)
    elif specs := read_specs(draft.report, kind, node):
        # Where a kind is chosen is where a `use` is, not where just an option is changed.
        if any(spec.use for spec in specs):
            draft.note(merging.path, node, entry.origin)
        draft.removed.discard(kind)
        if isinstance(node, Map):
            merging.lay_one(specs[0])
        else:
            merging.lay_list(specs, alone=not isinstance(node, Sequence))


@frozen
class _Merging:
    """One kind of a draft, over which a layer is being laid."""

    draft: Draft
    layer: Layer
    kind: str

    @property
    def path(self) -> Names:
        return ("components", self.kind)

    @property
    def held(self) -> dict[str, Part]:
        """The parts that are inherited, by name."""
        return self.draft.kinds.setdefault(self.kind, {})

    def remove(self, entry: Entry) -> None:
        origin = entry.node.origin
        if not self.held and self.kind not in self.draft.removed and self.layer.inherits:
            self.draft.nothing_to_remove(self.path, origin)
            return
        if self.kind not in self.draft.removed:
            self.draft.drop(self.path, origin)
            self.draft.note(self.path, entry.node)
        self.held.clear()
        self.draft.removed.add(self.kind)

    def is_by_name(self, node: Map) -> bool:
        """Tell whether a map says something about parts by their names, instead of being a part."""
        names = set(node.entries)
        return not names & set(PART_KEYS) and any(self.draft.was_said((*self.path, name)) for name in names)

    def lay_by_name(self, node: Map) -> None:
        for name, entry in node.entries.items():
            path = (*self.path, name)
            if is_null(entry.node):
                if not self.draft.was_said(path):
                    self.draft.nothing_to_remove(path, entry.node.origin)
                self.draft.drop(path, entry.node.origin)
                self.held.pop(name, None)
            elif name not in self.held:
                self.draft.report.unknown(f"part of {self.kind}", name, self.held, entry.origin, inherited=True)
            elif not isinstance(entry.node, Map):
                message = f"part {name} of {self.kind} must be a map of {', '.join(PART_KEYS)}, or null"
                self.draft.report.add(message, entry.node.origin)
            elif "as" in entry.node.entries:
                self.draft.report.add("a part can't be renamed", entry.node.entries["as"].origin)
            elif spec := read_spec(self.draft.report, self.kind, entry.node):
                self.merge(self.held[name], spec)
        if not self.held:
            self.draft.report.add(f"no {self.kind} is left", node.origin, fix=f"{self.kind}: null", inherited=True)

    def lay_one(self, spec: Spec) -> None:
        """Lay a map: it changes the part that it addresses, else it takes the place of them all."""
        part = self.held.get(spec.name or spec.use)
        if part is None and not spec.name:
            alike = [each for each in self.held.values() if not spec.use or each.use == spec.use]
            if len(alike) > 1:
                names = ", ".join(each.name for each in alike)
                self.draft.report.add(
                    f"which {self.kind} is meant? there are {names}", spec.origin, fix="say which with `as`"
                )
                return
            part = alike[0] if alike else None
        if part is None and not spec.use:
            self.nothing_to_change(spec)
            return
        if part is None:
            self.keep({}, spec)
        self.merge(part, spec)

    def lay_list(self, specs: list[Spec], *, alone: bool) -> None:
        """Lay a list, or one name: the kind has just these parts, each beginning as it was inherited."""
        kept: dict[str, Part | None] = {}
        for spec in specs:
            part = self.held.get(spec.name or spec.use)
            if part is None and alone:
                alike = [each for each in self.held.values() if each.use == spec.use]
                part = alike[0] if len(alike) == 1 else None
            if part is None and not spec.use:
                self.nothing_to_change(spec)
                return
            kept[part.name if part else spec.name or spec.use] = part
        self.keep({name: part for name, part in kept.items() if part}, specs[0])
        for spec, part in zip(specs, kept.values(), strict=True):
            self.merge(part, spec)

    def keep(self, parts: dict[str, Part], spec: Spec) -> None:
        """Remove all parts but these."""
        for name in self.held:
            if name not in parts:
                self.draft.drop((*self.path, name), spec.origin)
        self.draft.kinds[self.kind] = parts

    def nothing_to_change(self, spec: Spec) -> None:
        if spec.name and self.held:
            self.draft.report.unknown(f"part of {self.kind}", spec.name, self.held, spec.origin, inherited=True)
        else:
            message = f"this part of {self.kind} names no component"
            self.draft.report.add(message, spec.origin, fix=f"{self.kind}: {{use: NAME, ...}}", inherited=True)

    def merge(self, part: Part | None, spec: Spec) -> None:
        """Merge a part into the inherited one; another `use` begins anew under the same name."""
        if part is None or (spec.use and spec.use != part.use):
            name = part.name if part else spec.name or spec.use
            self.draft.drop((*self.path, name), spec.origin)
            part = self.held[name] = Part(spec.use, name)
        path = (*self.path, part.name)
        if spec.use:
            self.draft.note(path, spec.node)
            self.draft.note((*path, "use"), spec.node.entries["use"].node if isinstance(spec.node, Map) else spec.node)
        for key, entry in spec.entries.items():
            self.lay_field((*path, key), part, key, entry)

    def lay_field(self, path: Names, part: Part, key: str, entry: Entry) -> None:
        node = entry.node
        if is_null(node):
            if not self.draft.was_said(path):
                self.draft.nothing_to_remove(path, node.origin)
            self.draft.drop(path, node.origin)
            part.fields.pop(key, None)
            if key == "config":
                part.config.clear()
        elif isinstance(node, Map):
            self.draft.note(path, node, entry.origin)
            self.draft.lay_map(path, part.config, node, options=True)
        elif isinstance(node, Scalar):
            self.draft.note(path, node)
            part.fields[key] = node.value
            if key == "default" and node.value:
                self.take_default(part, node)

    def take_default(self, part: Part, node: Scalar) -> None:
        """Mark a part as the default; a mark from an earlier layer gives way."""
        for other in self.held.values():
            if other is part or not other.fields.get("default"):
                continue
            if other.default_in is self.layer:
                message = f"{other.name} is already the default {self.kind}"
                self.draft.report.add(message, node.origin, fix="mark one")
                return
            other.fields.pop("default")
            self.draft.drop((*self.path, other.name, "default"), node.origin)
        part.default_in = self.layer
