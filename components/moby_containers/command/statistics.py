"""`stats`: what containers use, once or again and again."""

import contextlib
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from moby.errors import MobyError
from moby_containers.command import template, words
from moby_containers.command.client import Client, query
from moby_containers.command.verb import Parser, complain, say

__all__ = ["figures", "stats"]

_EVERY_S = 0.5
_CLEARED = "\033[2J\033[H"
_COLUMNS = {
    "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %",
    "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip
_UNKNOWN = "--"


def stats(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Show what containers use of processors, memory, network and disks."""
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("--format", default="")
    parser.add_argument("--no-stream", action="store_true")
    parser.add_argument("--no-trunc", action="store_true")
    parser.add_argument("names", nargs="*", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    watched = _Watched(client, stream=not asked.no_stream)
    watched.add(asked.names or _present(client, every=asked.all))
    watched.wait()
    failed = watched.failures()
    if asked.names and failed:
        complain("\n".join(failed))
        return 1
    try:
        while True:
            rows = watched.rows(whole=asked.no_trunc)
            text = "\n".join(template.shown(rows, asked.format, _columns(asked.format)))
            if asked.no_stream:
                if text:
                    say(text)
                return 0
            sys.stdout.write(f"{_CLEARED}{text}\n")
            sys.stdout.flush()
            if not watched.alive() and asked.names:
                return 0
            threading.Event().wait(_EVERY_S)
            if not asked.names:
                watched.keep(_present(client, every=asked.all))
    except KeyboardInterrupt:
        return 130


def _columns(form: str) -> Mapping[str, str]:
    return {"Container": "CONTAINER", **_COLUMNS} if form.startswith("table ") else _COLUMNS


def _present(client: Client, *, every: bool) -> list[str]:
    return [each["Id"][:12] for each in client.get(f"/containers/json{query(all=every)}")]


@define
class _Seen:
    """What is known of one container."""

    figures: Mapping[str, Any] | None = None
    error: str = ""
    thread: threading.Thread | None = None


class _Watched:
    """Containers whose figures are followed, each by a thread."""

    def __init__(self, client: Client, *, stream: bool) -> None:
        self._client, self._stream = client, stream
        self._seen: dict[str, _Seen] = {}
        self._first = threading.Condition()

    def add(self, names: Sequence[str]) -> None:
        """Follow these too."""
        for name in names:
            if name in self._seen:
                continue
            seen = self._seen[name] = _Seen()
            seen.thread = threading.Thread(target=self._follow, args=(name, seen), daemon=True)
            seen.thread.start()

    def keep(self, names: Sequence[str]) -> None:
        """Follow these, and no others any more."""
        for name in set(self._seen) - set(names):
            del self._seen[name]
        self.add(names)

    def wait(self) -> None:
        """Wait until something is known of each."""
        with self._first:
            self._first.wait_for(lambda: all(each.figures or each.error for each in self._seen.values()))

    def failures(self) -> list[str]:
        """Return what the engine said of those that it has no figures of."""
        return [each.error for each in self._seen.values() if each.error]

    def alive(self) -> bool:
        """Whether there may be more."""
        return any(each.thread is not None and each.thread.is_alive() for each in self._seen.values())

    def rows(self, *, whole: bool) -> list[dict[str, str]]:
        """Return a row for each, in order."""
        return [
            figures(name, each.figures or {}, whole=whole)
            for name, each in list(self._seen.items())
            if not each.error or each.figures
        ]

    def _follow(self, name: str, seen: _Seen) -> None:
        path = f"/containers/{name}/stats?stream={int(self._stream)}"
        try:
            for each in self._client.lines(path):
                with self._first:
                    seen.figures = each
                    self._first.notify_all()
        except (MobyError, OSError, ValueError) as error:
            with self._first:
                seen.error = error.message if isinstance(error, MobyError) else str(error)
                self._first.notify_all()


def figures(asked: str, found: Mapping[str, Any], *, whole: bool) -> dict[str, str]:
    """Return a sample of the API's in docker's words; dashes where there is none."""
    if not found:
        unknown = dict.fromkeys(
            ("BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO"), _UNKNOWN
        )
        return {**unknown, "Container": asked, "PIDs": _UNKNOWN}
    used, limit = _memory(found["memory_stats"])
    read, written = _io(found["blkio_stats"])
    networks = (found.get("networks") or {}).values()
    received, sent = (sum(each[key] for each in networks) for key in ("rx_bytes", "tx_bytes"))
    return {
        "BlockIO": f"{words.size(read)} / {words.size(written)}", "CPUPerc": f"{_cpu(found):.2f}%", "Container": asked,
        "ID": found["id"] if whole else found["id"][:12], "MemPerc": f"{used / limit * 100 if limit else 0:.2f}%",
        "MemUsage": f"{words.binary_size(used)} / {words.binary_size(limit)}", "Name": found["name"].lstrip("/"),
        "NetIO": f"{words.size(received)} / {words.size(sent)}",
        "PIDs": str(found["pids_stats"].get("current", 0)),
    }  # fmt: skip


def _cpu(found: Mapping[str, Any]) -> float:
    """Return what was used of one processor since the sample before, in percent."""
    now, before = found["cpu_stats"], found["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    if used <= 0 or passed <= 0:
        return 0.0
    return float(used / passed * (now.get("online_cpus") or 1) * 100)


def _memory(found: Mapping[str, Any]) -> tuple[int, int]:
    """Return what is used, without what the kernel can take back at once, and the limit."""
    used, detail = found.get("usage", 0), found.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):  # of cgroups of version 1 and 2
        if name in detail:
            return used - detail[name] if detail[name] < used else used, found.get("limit", 0)
    return used, found.get("limit", 0)


def _io(found: Mapping[str, Any]) -> tuple[int, int]:
    amounts = {"r": 0, "w": 0}
    for each in found.get("io_service_bytes_recursive") or ():
        with contextlib.suppress(KeyError):
            amounts[each["op"][:1].lower()] += each["value"]
    return amounts["r"], amounts["w"]
