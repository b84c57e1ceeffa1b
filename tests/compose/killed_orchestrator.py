"""An engine that applies an application again and again, changed each time, until it is killed: `... ROOT ROOTFS`."""

import itertools
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from compose.orchestrating import Orchestrated  # noqa: E402

from moby.contracts.containers import ContainerConfig  # noqa: E402
from moby.contracts.orchestrator import Application, ServiceSpec  # noqa: E402

NAMES = ("a", "b", "c")


def application(number):
    """Return three services of two tasks, each time with another environment."""

    def service(name):
        command = ("sh", "-c", "while :; do sleep 1000; done")
        config = ContainerConfig(
            "box", command, environment=(f"N={number}",), stop_signal="SIGKILL", volumes=("/kept",)
        )
        return ServiceSpec(f"shop_{name}", config, "shop", replicas=2)

    return Application("shop", tuple(map(service, NAMES)))


def main(root, rootfs):
    with Orchestrated(Path(root), Path(rootfs), "served") as engine:
        print("ready", flush=True)
        for number in itertools.count():
            engine.orchestrator.apply(application(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
