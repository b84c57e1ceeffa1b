"""Turns the bytes of one YAML document into a tree with positions, and refuses what hides traps.

A manifest is a subset of YAML that means the same to every reader: no tags, no merge keys, string keys, each once,
one document. Aliases are followed, but count against the number of nodes each time.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from attrs import define, field

from moby.errors import Origin
from moby.manifest.report import Report, shown
from moby.manifest.scalars import Ambiguous, read_plain
from moby.manifest.tree import Entry, Map, Node, Scalar, Sequence
from moby.yaml_faults import explained

__all__ = ["MOST_BYTES", "MOST_DEPTH", "MOST_NODES", "compose"]

MOST_BYTES = 1 << 20
MOST_DEPTH = 50
MOST_NODES = 100_000
"""With every alias expanded."""

_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Stop(Exception):
    """Nothing after this place of the file can be read."""


def compose(data: bytes, source: str, report: Report, *, line_numbers: bool = True) -> Node | None:
    """Return the document's tree; None, with the reason in the report, if there is none to go on with.

    `line_numbers` off is for values from a flag, which have no lines.
    """
    builder = _Builder(source, report, line_numbers=line_numbers)
    try:
        text = _decode(data, builder)
        return builder.document(yaml.parse(text, Loader=_LOADER))
    except _Stop:
        return None
    except yaml.YAMLError as error:
        _syntax(error, text, builder)
        return None


def _decode(data: bytes, builder: "_Builder") -> str:
    def at(byte: int) -> Origin:
        return builder.place(data.count(b"\n", 0, byte) + 1, byte - data.rfind(b"\n", 0, byte))

    if len(data) > MOST_BYTES:
        raise builder.stop(f"larger than {MOST_BYTES >> 20} MiB", Origin(builder.source), "split it, and use extends")
    if b"\0" in data:
        raise builder.stop("not text: it holds a NUL byte", at(data.index(b"\0")), "save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise builder.stop("not UTF-8 text", at(error.start), "save it as UTF-8") from None


def _syntax(error: yaml.YAMLError, text: str, builder: "_Builder") -> None:
    message, where, fix = explained(error, text, builder.place)
    if "nesting depth" in message:  # a newer libyaml has a limit of its own, and reads ahead of our count
        message, fix = f"nested more than {MOST_DEPTH} deep", ""
    builder.report.add(message, where, fix=fix)


@define
class _Builder:
    """Builds a tree from parser events; no event is read after the first that can't be built on."""

    source: str
    report: Report
    line_numbers: bool = True
    nodes: int = 0
    anchors: dict[str, tuple[Node, int, int] | None] = field(factory=dict)
    """By name: the node, how many it holds, how deep it is; None while it is open."""

    def place(self, line: int, column: int) -> Origin:
        return Origin(self.source, line, column) if self.line_numbers else Origin(self.source)

    def at(self, mark: Any) -> Origin:
        return self.place(mark.line + 1, mark.column + 1)

    def stop(self, message: str, where: Origin, fix: str = "") -> _Stop:
        self.report.add(message, where, fix=fix)
        return _Stop()

    def document(self, events: Iterator[Any]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self.stop("a second document; a manifest is one", self.at(event.start_mark), "remove it")
                root = self.node(next(events), events, 1)[0]
        if root is None:
            raise self.stop("empty", self.place(1, 1), "a manifest begins with `moby: 1`")
        return root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> tuple[Node, int]:
        """Return a node and how deep it is."""
        where = self.at(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event.anchor, where, depth)
        self.count(1, where)
        if event.tag is not None:
            self.report.add(f"a YAML tag ({shown(event.tag)})", where, fix="remove the tag; quotes make text")
        if depth > MOST_DEPTH:
            raise self.stop(f"nested more than {MOST_DEPTH} deep", where)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        before = self.nodes
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node, height = self.scalar(event, where), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            node, height = self.sequence(events, depth, where)
        else:
            node, height = self.map(events, depth, where)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.nodes - before + 1, height)
        return node, height

    def count(self, nodes: int, where: Origin) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            raise self.stop(f"more than {MOST_NODES:,} values, aliases counted each time", where)

    def alias(self, name: str | None, where: Origin, depth: int) -> tuple[Node, int]:
        known = self.anchors.get(name or "", ())
        if known == ():
            raise self.stop(f"no anchor {shown(name)} before this alias", where)
        if not known:
            raise self.stop(f"alias {shown(name)} inside its own anchor: it would never end", where)
        node, size, height = known
        self.count(size, where)
        if depth + height - 1 > MOST_DEPTH:
            raise self.stop(f"nested more than {MOST_DEPTH} deep", where)
        return node, height

    def scalar(self, event: Any, where: Origin) -> Scalar:
        if _UNPRINTABLE.search(event.value):
            self.report.add("an escape for NUL or half a character, which no text can hold", where)
            return Scalar("", where, quoted=True)
        if not event.implicit[0]:
            return Scalar(event.value, where, event.value, quoted=True)
        try:
            return Scalar(read_plain(event.value), where, event.value)
        except Ambiguous as error:
            self.report.add(str(error), where, fix=f'quote it: "{event.value}"' if len(event.value) < 40 else "")
            self.report.settled.add(where)
            return Scalar(event.value, where, event.value, quoted=True)

    def sequence(self, events: Iterator[Any], depth: int, where: Origin) -> tuple[Sequence, int]:
        items, height = [], 0
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            item, item_height = self.node(event, events, depth + 1)
            items.append(item)
            height = max(height, item_height)
        return Sequence(tuple(items), where), height + 1

    def map(self, events: Iterator[Any], depth: int, where: Origin) -> tuple[Map, int]:
        entries: dict[str, Entry] = {}
        height = 0
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self.at(event.start_mark)
            key = self.key(self.node(event, events, depth + 1)[0], at)
            node, node_height = self.node(next(events), events, depth + 1)
            height = max(height, node_height)
            if key is None:
                continue
            if key in entries:
                self.report.add(f"key {shown(key)} again; it is already at {entries[key].origin}", at, fix="keep one")
                continue
            entries[key] = Entry(key, at, node)
        return Map(entries, where), height + 1

    def key(self, node: Node, at: Origin) -> str | None:
        if not isinstance(node, Scalar):
            self.report.add("a key must be a word", at)
            return None
        if node.text == "<<" and not node.quoted:
            self.report.add("merge keys (<<) aren't part of manifests", at, fix="use extends")
            return None
        if not isinstance(node.value, str):
            self.report.add(f"key {node.text or 'null'} isn't text", at, fix=f'quote it: "{node.text}"')
            return None
        return node.value
