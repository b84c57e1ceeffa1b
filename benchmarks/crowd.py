"""An engine that has many containers: what a listing of them takes."""

from typing import TYPE_CHECKING

from benchmarks.measure import Row

if TYPE_CHECKING:
    from benchmarks.engine import Pair, Worker

__all__ = ["row"]

COUNT = 500


def row(pair: "Pair") -> Row:
    """Time `docker ps` with so many containers running; both engines have them for as long as that takes."""
    from peers.images import NAME  # type: ignore[import-not-found]

    def begin(worker: "Worker") -> None:
        line = f"docker run -d --network none --name crowdN {NAME} sleep 10000"
        worker.seconds("sh", "-c", f"seq {COUNT} | xargs -P 16 -I N {line} | wc -l", output=f"{COUNT}\n")

    def end(worker: "Worker") -> None:
        worker.seconds("sh", "-c", f"seq {COUNT} | xargs -P 16 -I N docker rm -f crowdN | wc -l", output=f"{COUNT}\n")

    for worker in (pair.ours, pair.dockerd):
        begin(worker)
    found = pair.row(f"docker ps, {COUNT} containers running", "docker", "ps", output=f"crowd{COUNT}", target=1.0)
    for worker in (pair.ours, pair.dockerd):
        end(worker)
    return found
