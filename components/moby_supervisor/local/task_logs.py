"""The log of a task: begun, taken over, and its options looked at."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from moby_supervisor.local import log_cache
from moby_supervisor.local.log_options import for_driver, mode_of, others
from moby_supervisor.local.logger import Logger
from moby_supervisor.local.sinks import DirectSink, LoggerSink
from moby_supervisor.local.starter import Line
from moby_supervisor.local.task import Task
from moby_supervisor.local.world import World, log_name

if TYPE_CHECKING:
    from moby.contracts.log_driver import LogDriver

__all__ = ["begin", "check", "go_on"]


def check(world: World, driver: str, options: Mapping[str, str]) -> None:
    """Refuse a log's options: the supervisor's own, and the driver's."""
    found = world.driver(driver)
    mode_of(options)
    log_cache.check(world.log_cache, found, options)
    found.check(others(options))


async def begin(world: World, task: Task) -> None:
    """Begin a task's log; errors as LogDriver.open."""
    task.sink = sink = _sink(world, task)
    if isinstance(sink, LoggerSink):
        await sink.begin()
    else:
        sink.open()


def go_on(world: World, task: Task, lines: Mapping[str, tuple[int, ...]]) -> None:
    """Go on with the log of a task that another supervisor began, by the sockets that the keeper holds."""
    task.slot.lose(task.slot.IN_FLIGHT)
    if task.config.log is None:
        return
    task.sink = sink = _sink(world, task)
    if isinstance(sink, LoggerSink):
        held = lines.get(log_name(task.id))
        sink.take_over(Line.of(held[0]).ours if held else None, task.record.logger)
    else:
        sink.open_again()


def _sink(world: World, task: Task) -> DirectSink | LoggerSink:
    config = task.config.log
    assert config is not None
    driver: LogDriver = world.driver(config.driver)
    mode = mode_of(config.options)
    # A disk may be slow, too: who asked not to wait for the log isn't made to wait for that either.
    if not driver.waits and mode.blocking:
        return DirectSink(driver, config, task.slot, world.clock, world.log)
    logger = Logger(driver, for_driver(config), mode, log_cache.kept(world.log_cache, driver, config))
    sink = LoggerSink(logger, task.slot, world.clock, world.log, world.starter, lambda: _hold(world, task, sink))
    sink.on_room = task.begin_reading
    return sink


def _hold(world: World, task: Task, sink: LoggerSink) -> None:
    """Have the keeper hold a logger's socket, and know the process of it."""
    if sink.sock is not None:
        with suppress(FileNotFoundError):
            task.change(logger=sink.process)
        world.keeper.hold(log_name(task.id), [sink.sock.fileno()], [sink.process[0]])
