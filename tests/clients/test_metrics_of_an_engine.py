"""An engine that tells Prometheus its figures: they are those of its containers."""

import http.client
import socket

import pytest
from attrs import define
from clients.engine import SOCKET, Moby, opened
from peers.assembled import assembled
from peers.sandbox import until
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow
MANIFEST = """
moby: 1
name: told
extends: [docker]
components:
  frontend:
    - {use: docker, default: true}
    - metrics
"""
METRICS = "/run/metrics.sock"


@define
class Told(Moby):
    def daemon(self):
        return self.argv("serve", "--host", f"unix://{SOCKET}", "--host", f"metrics=unix://{METRICS}")


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def engine(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("told")
    with opened(Told, folder / "engine", image, distribution=assembled(folder, "told", MANIFEST)) as found:
        yield found
        found.check_gone()


def figures(engine):
    """Return all figures by name and what tells their objects apart."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(engine.sandbox.seen(METRICS)))
    with connection.sock:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return {
        (
            sample.name,
            sample.labels.get("name") or sample.labels.get("action") or sample.labels.get("status"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_a_container_uses(engine):
    limits = ["-m", "64m", "--pids-limit", "20"]
    engine(
        "run", "-d", "--network=none", "--name", "burns", *limits, "localhost/box", "sh", "-c", "while :; do :; done"
    )
    until(lambda: figures(engine)["moby_container_cpu_seconds_total", "burns"] > 0.2, "processor time")
    found = figures(engine)
    assert found["moby_container_up", "burns"] == 1
    assert found["moby_container_memory_limit_bytes", "burns"] == 64 << 20
    assert 0 < found["moby_container_memory_bytes", "burns"] < 64 << 20
    assert (found["moby_container_processes", "burns"], found["moby_container_processes_limit", "burns"]) == (1, 20)
    assert found["moby_events_total", "start"] >= 1
    engine("kill", "burns")
    until(lambda: figures(engine)["moby_container_up", "burns"] == 0, "its end")
    assert figures(engine)["moby_container_exit_code", "burns"] == 137
    engine("rm", "burns")
    assert ("moby_container_up", "burns") not in figures(engine)
