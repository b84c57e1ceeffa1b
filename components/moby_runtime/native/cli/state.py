"""Verbs that tell of containers: state, list."""

from __future__ import annotations

import os
import sys

from moby.errors import Invalid, MobyError, NotFound
from moby.host.blocks import suppress
from moby_runtime.native.cli.containers import native
from moby_runtime.native.cli.usage import SPEC_VERSION
from moby_runtime.native.values import STOPPED
from moby_runtime.records.json_text import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby_runtime.native.cli.main import Call
    from moby_runtime.native.records import Record
    from moby_runtime.native.runtime import Native

__all__ = ["list_all", "state"]


def state(call: Call) -> int:
    """Print one container's state (runtime-spec, runtime.md, state, and what runc adds)."""
    runtime = native(call)
    status, record = runtime.look(call.arguments[0])
    sys.stdout.write(_indented(_facts(status, record, "")))
    return 0


def list_all(call: Call) -> int:
    """Print all containers: ids, a table, or JSON."""
    form = call.text("format") or "table"
    if form not in ("table", "json"):
        raise Invalid(f"invalid format option {form!r}", hint="table or json")
    runtime = native(call)
    if call.on("quiet"):
        sys.stdout.writelines(f"{each}\n" for each in runtime.ids())
        return 0
    all_facts = list(_each(runtime, call.root))
    if form == "json":
        import json

        sys.stdout.write(json.dumps(all_facts or None, separators=(",", ":")) + "\n")
        return 0
    _table(all_facts)
    return 0


def _each(runtime: Native, root: str) -> Any:
    for container_id in runtime.ids():
        try:
            owner = _owner(os.stat(f"{root}/{container_id}").st_uid)
            status, record = runtime.look(container_id)
        except (FileNotFoundError, NotFound):  # deleted meanwhile
            continue
        except MobyError as error:
            sys.stderr.write(f"load container {container_id}: {error.message}\n")
            continue
        yield _facts(status, record, owner)


def _facts(status: str, record: Record, owner: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "id": record.id,
        "pid": 0 if status == STOPPED else record.pid,
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": _time(record.created_ns),
    }
    if record.annotations:
        facts["annotations"] = dict(record.annotations)
    facts["owner"] = owner
    return facts


def _indented(facts: Mapping[str, Any], indent: str = "  ") -> str:
    """Return JSON as json.dumps indents it, by two."""
    parts = [
        f"{indent}{encoded(name)}: {_indented(each, f'{indent}  ') if isinstance(each, dict) else encoded(each)}"
        for name, each in facts.items()
    ]
    return "\n".join(["{", ",\n".join(parts), f"{indent[2:]}}}"])


def _time(time_ns: int) -> str:
    """Return a time as RFC 3339 has it, to the nanosecond."""
    import time

    seconds, rest = divmod(time_ns, 10**9)
    fraction = f".{rest:09}".rstrip("0").rstrip(".")
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{fraction}Z"


def _owner(uid: int) -> str:
    import pwd

    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"#{uid}"


def _table(rows: list[dict[str, Any]]) -> None:
    """Print columns at least 12 wide with 3 between, as runc does."""
    names = ("id", "pid", "status", "bundle", "created", "owner")
    cells = [tuple(name.upper() for name in names), *(tuple(str(row[name]) for name in names) for row in rows)]
    widths = [max(12, *(len(row[index]) + 3 for row in cells)) for index in range(len(names) - 1)]
    for row in cells:
        line = "".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)) + row[-1]
        sys.stdout.write(f"{line}\n")
