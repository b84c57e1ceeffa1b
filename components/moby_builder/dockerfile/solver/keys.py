"""Cache keys: what two steps must have in common so that one's result may stand for the other's.

A step's key is made of what it is told to do and of its inputs' identities; its second one has, in place of inputs
that it only reads from, the digest of what it reads there. An identity is the key that a result was first made by.
What changes nothing that a step makes is left out, as BuildKit leaves it out: proxies, addresses of added hosts, how
cache mounts are called and shared.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict

from moby.contracts.types import Digest
from moby_builder.dockerfile.operations import (
    Copy,
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    MakeFolder,
    MountKind,
    Node,
    Owner,
    ResultSource,
    Run,
    RunMount,
    Stack,
    StreamSource,
    Write,
)

__all__ = ["EMPTY", "SOURCES", "Facts", "content_key", "facts_of", "key", "source_key"]

Facts = Mapping[str, Any]
"""What a step is told to do, as JSON."""

SOURCES = (
    EmptySource, ImageSource, LayoutSource, LocalSource, StreamSource, HttpSource, GitSource, ResultSource,
)  # fmt: skip

_FORMAT = 1
"""Counted up when a result of an earlier version can't stand for a new one's."""


def source_key(identity: str) -> str:
    """Return the key of a source, of what it stands for."""
    return _digest(["source", identity])


def key(node: Node, inputs: Sequence[str]) -> str:
    """Return the key of a step whose inputs have these identities."""
    return _digest(["inputs", facts_of(node), list(inputs)])


def content_key(node: Node, inputs: Sequence[str], contents: Mapping[int, Digest]) -> str:
    """Return the key of a step by what it reads of its inputs, given by their numbers."""
    read = [str(contents[number]) if number in contents else each for number, each in enumerate(inputs)]
    return _digest(["contents", facts_of(node, by_content=True), read])


def facts_of(node: Node, *, by_content: bool = False) -> Facts:
    """Return what counts of a step; by content, not where in its inputs the files lie."""
    operation = node.operation
    if isinstance(operation, Run):
        facts = {**_run(operation), "platform": str(node.platform)}
    elif isinstance(operation, Copy):
        facts = _copy(operation, by_content)
    elif isinstance(operation, Write):
        facts = _write(operation)
    elif isinstance(operation, MakeFolder):
        facts = {"path": operation.path, "owner": _owner(operation.owner), "mode": operation.mode}
    else:
        assert isinstance(operation, Stack), f"{operation} is a source"
        facts = {}
    return {"kind": type(operation).__name__, **facts, **({} if node.epoch_s is None else {"epoch": node.epoch_s})}


def _run(run: Run) -> dict[str, Any]:
    return {
        "arguments": list(run.arguments), "environment": list(run.environment), "folder": run.folder,
        "user": run.user, "mounts": [_mount(each) for each in run.mounts], "network": run.network,
        "insecure": run.insecure, "hosts": [name for name, _ in run.hosts], "hostname": run.hostname,
        "shm_bytes": run.shm_bytes, "ulimits": [list(each) for each in run.ulimits],
        "cgroup_parent": run.cgroup_parent,
    }  # fmt: skip


def _mount(mount: RunMount) -> dict[str, Any]:
    found = asdict(mount)
    if mount.kind is MountKind.CACHE:
        del found["id"], found["sharing"]
    return found


def _copy(copy: Copy, by_content: bool) -> dict[str, Any]:
    return {
        "sources": [
            {
                "input": each.input, "exclude": list(each.exclude), "unpack": each.unpack,
                "path": each.path if copy.parents or not by_content else posixpath.basename(each.path.rstrip("/")),
            }
            for each in copy.sources
        ],
        "target": copy.target, "owner": _owner(copy.owner), "mode": copy.mode, "parents": copy.parents,
        "require": copy.require, "time": copy.time_ns,
    }  # fmt: skip


def _write(write: Write) -> dict[str, Any]:
    return {
        "files": [[each.name, hashlib.sha256(each.data).hexdigest()] for each in write.files],
        "target": write.target, "owner": _owner(write.owner), "mode": write.mode,
    }  # fmt: skip


def _owner(owner: Owner | None) -> list[str] | None:
    return None if owner is None else [owner.user, owner.group]


def _digest(value: Any) -> str:
    text = json.dumps([_FORMAT, value], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


EMPTY = source_key("")
"""The key of an empty root."""
