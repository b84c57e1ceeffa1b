"""An engine that makes, runs and removes containers of all sorts until it is killed: `killed_engine.py ROOT ROOTFS`."""

import itertools
import sys
import threading
from contextlib import suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from containers_engine import Engine  # noqa: E402

from moby.contracts.containers import ExecConfig, MountRequest, RestartPolicy  # noqa: E402
from moby.errors import MobyError  # noqa: E402


def live(engine, number):
    """One container's life."""
    containers = engine.containers
    volume = MountRequest("volume", "/v", f"shared-{number % 3}")
    made = engine.create(
        "read a || sleep 1000", open_stdin=True, mounts=(volume,), volumes=("/anonymous",),
        restart=RestartPolicy("always" if number % 4 == 3 else "no"),
    )  # fmt: skip
    containers.start(made)
    exec_id = containers.exec_create(made, ExecConfig(("sh", "-c", ":")))
    containers.exec_start(exec_id, detach=True)
    if number % 2:
        containers.restart(made, timeout_s=0)
    if number % 3:
        containers.kill(made)
    if number % 5:
        containers.remove(made, force=True, volumes=True)


def main(root, rootfs):
    with Engine(Path(root), Path(rootfs), "served") as engine:
        numbers = itertools.count()

        def work():
            while True:
                with suppress(MobyError):
                    live(engine, next(numbers))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        threads[0].join()


if __name__ == "__main__":
    main(*sys.argv[1:])
