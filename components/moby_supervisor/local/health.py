"""Probes a container's health again and again, and judges the results as Docker does."""

from contextlib import suppress
from typing import TYPE_CHECKING

from moby.contracts.supervisor import EventKind, Health, HealthCheck, HealthResult, HealthStatus, TaskEvent
from moby.contracts.types import Exit, TaskStatus
from moby.values import evolve
from moby_supervisor.local.probes import probe
from moby_supervisor.local.task import Task
from moby_supervisor.local.world import World

if TYPE_CHECKING:
    from moby_supervisor.local.loop import Timer

__all__ = ["Monitor", "judged"]

_KEPT = 5
_MOST_UNREAD = 512
"""Up to so many entries of the journal are probes written, too: where no engine reads, they would have no end."""
_DEFAULTS = HealthCheck(())


class Monitor:
    """The health checks of one running task."""

    def __init__(self, world: World, task: Task) -> None:
        assert task.config.health is not None
        self._world = world
        self._task = task
        self._check = _completed(task.config.health)
        self._timer: Timer | None = None
        self._stopped = False
        self._interrupted = False
        """Whether a pause has come into the last probe, which then says nothing."""
        if task.record.health.status is HealthStatus.NONE:
            task.change(health=Health(HealthStatus.STARTING))
        self._wait()

    def paused(self) -> None:
        """Have it be unhealthy until a probe after the pause finds otherwise, as docker does; no event says so."""
        self._interrupted = True
        health = self._task.record.health
        if health.status is not HealthStatus.UNHEALTHY:
            self._task.change(health=evolve(health, status=HealthStatus.UNHEALTHY))

    def stop(self) -> None:
        """Probe no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        now = self._world.clock.now_ns()
        starting = self._task.record.health.status is HealthStatus.STARTING
        often = starting and now - self._task.record.started_ns < self._check.start_period_ns
        delay_ns = self._check.start_interval_ns if often else self._check.interval_ns
        self._timer = self._world.loop.after(delay_ns / 1e9, self._due)

    def _due(self) -> None:
        self._world.loop.background(self._probe(), f"check the health of {self._task.id}")

    async def _probe(self) -> None:
        try:
            if self._task.status is TaskStatus.RUNNING:  # what is paused can't answer
                self._interrupted = False
                result, ended = await probe(self._world, self._task, self._check.timeout_ns / 1e9)
                if not (self._stopped or self._interrupted):
                    if ended is not None:
                        self._tell(result, ended)
                    self._note(result)
        finally:
            if not self._stopped:
                self._wait()

    def _tell(self, result: HealthResult, ended: Exit) -> None:
        """Have the journal say that a probe was run; a full disk is no reason not to go on."""
        if self._world.journal.kept < _MOST_UNREAD:
            with suppress(OSError):
                self._world.journal.append(TaskEvent(0, result.start_ns, EventKind.HEALTH, self._task.id, exit=ended))

    def _note(self, result: HealthResult) -> None:
        task = self._task
        health = judged(task.record.health, self._check, result, task.record.started_ns)
        if health.status is not task.record.health.status:
            self._world.journal.append(TaskEvent(0, result.end_ns, EventKind.HEALTH, task.id, health=health.status))
        with suppress(FileNotFoundError):
            task.change(health=health)


def judged(health: Health, check: HealthCheck, result: HealthResult, started_ns: int) -> Health:
    """Return a container's health after one more probe.

    Until one has succeeded, failures in the start period don't count.
    """
    results = (*health.results, result)[-_KEPT:]
    if result.code == 0:
        return Health(HealthStatus.HEALTHY, 0, results)
    if health.status is HealthStatus.STARTING and result.start_ns - started_ns < check.start_period_ns:
        return evolve(health, results=results)
    streak = health.failing_streak + 1
    status = HealthStatus.UNHEALTHY if streak >= check.retries else health.status
    return Health(status, streak, results)


def _completed(check: HealthCheck) -> HealthCheck:
    """Return a check with the usual times where it has none."""
    names = ("interval_ns", "timeout_ns", "retries", "start_interval_ns")
    return evolve(check, **{name: getattr(_DEFAULTS, name) for name in names if getattr(check, name) <= 0})
