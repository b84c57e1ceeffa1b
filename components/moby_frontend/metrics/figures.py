"""What is counted: the engine, its process, what happened in it, and what each container uses."""

import os
import resource
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from moby.contracts.containers import Container, Containers, Status
from moby.contracts.images import Images
from moby.contracts.runtime import Stats
from moby.contracts.volumes import Volumes
from moby.errors import MobyError
from moby_frontend.metrics.exposition import Family
from moby_frontend.traffic.interfaces import interfaces

__all__ = ["Parts", "collect"]

_RUNS = frozenset({Status.RUNNING, Status.PAUSED})
_LABELS = ("id", "name", "image")


@frozen
class Parts:
    """What is asked for figures."""

    containers: Containers
    images: Images
    volumes: Volumes
    engine: str


def collect(parts: Parts, happened: Mapping[tuple[str, str], int]) -> list[Family]:
    """Return all figures of now; `happened` counts events by type and action."""
    containers = parts.containers.list()
    return [
        *_engine(parts, containers, happened),
        *_process(),
        *_states(containers),
        *_used({each.id: each for each in containers if each.state.status in _RUNS}, parts.containers),
    ]


def _engine(parts: Parts, containers: tuple[Container, ...], happened: Mapping[tuple[str, str], int]) -> list[Family]:
    info = Family("moby_engine_info", "gauge", "The engine, by the name of its distribution.", ("distribution",))
    info.add(1, parts.engine)
    count = Family("moby_containers", "gauge", "Containers by their status.", ("status",))
    for status in Status:
        count.add(sum(each.state.status is status for each in containers), status.value)
    images = Family("moby_images", "gauge", "Images.")
    images.add(len(parts.images.list()))
    volumes = Family("moby_volumes", "gauge", "Volumes.")
    volumes.add(len(parts.volumes.list()))
    events = Family(
        "moby_events_total", "counter", "What has happened since the engine started.", ("type", "action")
    )  # fmt: skip
    for (kind, action), number in sorted(happened.items()):
        events.add(number, kind, action)
    return [info, count, images, volumes, events]


def _process() -> list[Family]:
    """Return figures of the engine's own process, by the names that all of Prometheus' clients give them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = Family("process_cpu_seconds_total", "counter", "Processor time of the engine's process.")
    cpu.add(used.ru_utime + used.ru_stime)
    memory = Family("process_resident_memory_bytes", "gauge", "Resident memory of the engine's process.")
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - at each scrape
        memory.add(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    files = Family("process_open_fds", "gauge", "Open descriptors of the engine's process.")
    files.add(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    most = Family("process_max_fds", "gauge", "How many descriptors it may have open.")
    most.add(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return [cpu, memory, files, most]


def _labels(container: Container) -> tuple[str, str, str]:
    return container.id, container.name, container.config.image


def _states(containers: tuple[Container, ...]) -> list[Family]:
    """Return figures of all containers, of those too that don't run."""
    up = Family("moby_container_up", "gauge", "Whether a container runs.", _LABELS)
    started = Family("moby_container_start_time_seconds", "gauge", "When it was started, since the epoch.", _LABELS)
    restarts = Family("moby_container_restarts_total", "counter", "How often its policy restarted it.", _LABELS)
    code = Family("moby_container_exit_code", "gauge", "How its last program ended.", _LABELS)
    healthy = Family("moby_container_healthy", "gauge", "Whether its health check says that it is well.", _LABELS)
    lost = Family("moby_container_lost_output_bytes_total", "counter", "Output that no log has.", _LABELS)
    dropped = Family(
        "moby_container_dropped_log_records_total", "counter", "Records that its log driver dropped.", _LABELS
    )
    for each in containers:
        state, labels = each.state, _labels(each)
        up.add(int(state.status in _RUNS), *labels)
        started.add(_seconds(state.started), *labels)
        restarts.add(each.restart_count, *labels)
        if state.finished and state.status not in _RUNS:
            code.add(state.exit_code, *labels)
        if state.health is not None:
            healthy.add(int(state.health.status == "healthy"), *labels)
        lost.add(each.lost_output_bytes, *labels)
        dropped.add(each.dropped_log_records, *labels)
    return [up, started, restarts, code, healthy, lost, dropped]


def _seconds(moment: str) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


_FIGURES = (
    ("cpu_seconds_total", "counter", "Processor time that it used."),
    ("cpu_throttled_seconds_total", "counter", "For how long its processor limit held it up."),
    ("memory_bytes", "gauge", "Memory that it uses, page cache included."),
    ("memory_limit_bytes", "gauge", "Its memory limit, where it has one."),
    ("swap_bytes", "gauge", "Swap that it uses."),
    ("oom_kills_total", "counter", "Its processes that the kernel killed for want of memory."),
    ("processes", "gauge", "Its processes and threads."),
    ("processes_limit", "gauge", "How many it may have, where that is limited."),
)  # fmt: skip

_TRAFFIC = (
    ("rx_bytes", "What it received."), ("rx_packets", "Packets that it received."),
    ("rx_errors", "Packets that came broken."), ("rx_dropped", "Received packets that were dropped."),
    ("tx_bytes", "What it sent."), ("tx_packets", "Packets that it sent."),
    ("tx_errors", "Packets that couldn't be sent."), ("tx_dropped", "Packets to be sent that were dropped."),
)  # fmt: skip


def _used(running: Mapping[str, Container], containers: Containers) -> list[Family]:
    """Return what containers use, of those that run."""
    families = [Family(f"moby_container_{name}", kind, said, _LABELS) for name, kind, said in _FIGURES]
    device = (*_LABELS, "device")
    read = Family("moby_container_io_read_bytes_total", "counter", "What it read from a block device.", device)
    written = Family("moby_container_io_written_bytes_total", "counter", "What it wrote to one.", device)
    waited = Family(
        "moby_container_pressure_seconds_total", "counter", "For how long its tasks waited.", (*_LABELS, "for", "tasks")
    )
    passed = [
        Family(f"moby_container_network_{name}_total", "counter", said, (*_LABELS, "interface"))
        for name, said in _TRAFFIC
    ]
    for container in running.values():
        for name, figure in interfaces(container, container.state.pid).items():
            for family, (field, _) in zip(passed, _TRAFFIC, strict=True):
                family.add(getattr(figure, field), *_labels(container), name)
        try:
            found = containers.stats(container.id)
        except MobyError:  # it has just ended
            continue
        if found is None:
            continue
        labels = _labels(container)
        for family, value in zip(families, _values(found), strict=True):
            family.add(value, *labels)
        for each in found.io or ():
            read.add(each.read_bytes, *labels, f"{each.major}:{each.minor}")
            written.add(each.written_bytes, *labels, f"{each.major}:{each.minor}")
        for what, (some, every) in found.pressure.items():
            waited.add(some.total_us / 10**6, *labels, what, "some")
            waited.add(every.total_us / 10**6, *labels, what, "all")
    return [*families, read, written, waited, *passed]


def _values(found: Stats) -> tuple[float | None, ...]:
    return (
        _of_ns(found.cpu_ns), _of_ns(found.cpu_throttled_ns), found.memory_bytes, found.memory_limit_bytes or None,
        found.swap_bytes, found.oom_kills, found.pids, found.pids_limit or None,
    )  # fmt: skip


def _of_ns(value: int | None) -> float | None:
    return None if value is None else value / 10**9
