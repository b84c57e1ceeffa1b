"""Turns the bytes of a YAML file into trees that know their places: anchors, merge keys, `!reset` and `!override`."""

import re
from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from moby.errors import Origin
from moby.yaml_faults import explained
from moby_orchestrator.compose.files.places import Items, Map, Path, refuse
from moby_orchestrator.compose.files.scalars import read, tagged

__all__ = ["Document", "documents"]

MOST_BYTES = 8 << 20
MOST_DEPTH = 100
MOST_NODES = 500_000
"""With each alias counted as often as it stands there."""
_RESET, _OVERRIDE = "!reset", "!override"
_UNPRINTABLE = re.compile("[\ud800-\udfff]")


@frozen
class Document:
    """One document: its mapping, and the paths at which what came before it is forgotten."""

    tree: Map
    resets: tuple[Path, ...] = ()


def documents(data: bytes, source: str) -> Iterator[Document]:
    """Yield the documents of a file; Invalid, with line and column, for what is none."""
    import yaml

    if len(data) > MOST_BYTES:
        raise refuse(f"larger than {MOST_BYTES >> 20} MiB", Origin(source), "split it, and use include")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse("not UTF-8 text", Origin(source, line, 1), "save it as UTF-8") from None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for node in yaml.compose_all(text, Loader=loader):
            tree = _Builder(source)
            yield Document(tree.top(node), tuple(tree.resets))
    except yaml.YAMLError as error:
        raise refuse(*explained(error, text, lambda line, column: Origin(source, line, column))) from None
    except RecursionError:
        raise refuse(f"nested more than {MOST_DEPTH} deep", Origin(source)) from None


@define
class _Builder:
    source: str
    resets: list[Path] = field(factory=list)
    count: int = 0

    def place(self, node: Any) -> Origin:
        return Origin(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def top(self, node: Any) -> Map:
        tree = self.value(node, (), 1)
        if not isinstance(tree, Map):
            raise refuse("the top of a compose file is a mapping", self.place(node), "begin with `services:`")
        return tree

    def value(self, node: Any, path: Path, depth: int) -> Any:
        self.count += 1
        if depth > MOST_DEPTH:
            raise refuse(f"nested more than {MOST_DEPTH} deep, or an alias inside its own anchor", self.place(node))
        if self.count > MOST_NODES:
            raise refuse(f"more than {MOST_NODES:,} values, aliases counted each time", self.place(node))
        if node.tag == _OVERRIDE:
            self.resets.append(path)
        if node.id == "mapping":
            return self.mapping(node, path, depth)
        if node.id == "sequence":
            items = Items()
            for index, each in enumerate(node.value):
                if each.tag == _RESET:
                    self.resets.append((*path, str(index)))
                else:
                    items.add(self.value(each, (*path, "[]"), depth + 1), self.place(each))
            return items
        return self.scalar(node)

    def scalar(self, node: Any) -> Any:
        if _UNPRINTABLE.search(node.value):
            raise refuse("an escape for half a character, which no text can hold", self.place(node))
        if node.tag in (_OVERRIDE, _RESET):
            return node.value if node.style else read(node.value)
        # The reader resolves plain scalars by YAML 1.1; only a tag that was written differs from what it would say.
        if node.style and node.tag.endswith(":str"):
            return node.value
        if not node.style and self.implicit(node):
            return read(node.value)
        try:
            return tagged(node.tag, node.value)
        except ValueError as error:
            raise refuse(str(error), self.place(node), "remove the tag; quotes make text") from None

    def implicit(self, node: Any) -> bool:
        import yaml

        resolver: Any = yaml.SafeLoader("")
        return bool(node.tag == resolver.resolve(yaml.ScalarNode, node.value, (True, False)))

    def mapping(self, node: Any, path: Path, depth: int) -> Map:
        found = Map(origin=self.place(node))
        merged: list[Any] = []
        for key, value in node.value:
            if key.id == "scalar" and key.value == "<<" and not key.style:
                merged.append(value)
                continue
            name = self.key(key)
            if name in found:
                raise refuse(f"key {name!r} again; it is already at {found.places[name]}", self.place(key), "keep one")
            if value.tag == _RESET:
                self.resets.append((*path, name))
                continue
            found.put(name, self.value(value, (*path, name), depth + 1), self.place(key))
        for value in merged:
            for base in value.value if value.id == "sequence" else [value]:
                if base.id != "mapping":
                    raise refuse("what `<<` merges is a mapping", self.place(base), "name the anchor of a mapping")
                other = self.mapping(base, path, depth + 1)
                for name, each in other.items():
                    if name not in found:
                        found.put(name, each, other.places.get(name))
        return found

    def key(self, node: Any) -> str:
        name = self.scalar(node) if node.id == "scalar" else None
        if isinstance(name, str):
            return name
        raise refuse(f"key {getattr(node, 'value', '')!s:.40} isn't text", self.place(node), "quote it")
