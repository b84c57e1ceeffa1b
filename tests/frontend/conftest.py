import http.client
import json
import socket
from pathlib import Path

import docker
import pytest
from attrs import define, field
from frontend.fake_parts import FakeImages, FakeNetworks, FakeSupervisor
from frontend.fakes import FakeContainers
from moby_events.ring.ring import Ring
from moby_frontend.docker.plugin import Config
from moby_frontend.docker.plugin import make as make_frontend
from moby_metadata.sqlite.plugin import Config as MetadataConfig
from moby_metadata.sqlite.plugin import make as make_metadata
from moby_volume.local.plugin import Config as VolumeConfig
from moby_volume.local.plugin import make as make_driver
from moby_volumes.registry.plugin import Config as VolumesConfig
from moby_volumes.registry.plugin import make as make_volumes
from supervisor.ambient import ListLog, RealClock

from moby.contracts.ambient import Place
from moby.contracts.containers import ContainerConfig

PATIENCE_S = 60
PARTS = {"runtime/native": "1.2", "runtime/runc": "1.2", "content/local": "1.2", "supervisor/local": "3.4"}


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self.path)


@define
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json()["message"]


@define
class Served:
    """A front end at a socket, and the parts behind it."""

    frontend: object
    path: str
    containers: FakeContainers
    images: FakeImages
    networks: FakeNetworks
    volumes: object
    events: Ring
    log: ListLog
    place: Place
    _clients: list = field(factory=list)

    def call(self, method, path, body=None, headers=None, version="v1.47"):
        """Make one call on a connection of its own; what isn't text is sent as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = Connection(self.path)
        try:
            connection.request(method, f"/{version}{path}" if version else path, body=body, headers=headers)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def raw(self):
        """Open a connection without HTTP."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE_S)
        self._clients.append(sock)
        sock.connect(self.path)
        return sock

    def docker(self, version="1.47"):
        """docker-py's client."""
        client = docker.APIClient(f"unix://{self.path}", version=version, timeout=PATIENCE_S)
        self._clients.append(client)
        return client

    def run(self, *command, **fields):
        """Make a container of a program and start it; return its id."""
        body = {"Image": "box", "Cmd": list(command), **fields}
        identity = self.call("POST", "/containers/create", body).json()["Id"]
        assert self.call("POST", f"/containers/{identity}/start").status == 204
        return identity

    def close(self):
        for each in self._clients:
            each.close()


@pytest.fixture
def serve(tmp_path):
    """Make front ends with options, each at a socket of its own."""
    made = []
    place = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache", "test", PARTS)
    for each in (place.state, place.run, place.cache):
        each.mkdir()
    clock, log = RealClock(), ListLog()
    events = Ring(clock)
    containers, images, networks = FakeContainers(events), FakeImages(), FakeNetworks()
    with make_metadata(MetadataConfig(), place=place) as metadata:
        drivers = {"local": make_driver(VolumeConfig(), place=place)}
        volumes = make_volumes(
            VolumesConfig(), drivers=drivers, metadata=metadata, events=events, clock=clock, place=place
        )
        if hasattr(volumes, "__enter__"):
            volumes.__enter__()

        def start(listen=True, image_registry=None, builder=None, orchestrator=None, tracer=None, **options):
            frontend = make_frontend(
                Config(**options), containers=containers, images=images, volumes=volumes, networks=networks,
                events=events, supervisor=FakeSupervisor(), image_registry=image_registry, builder=builder,
                orchestrator=orchestrator, tracer=tracer, place=place, clock=clock, log=log,
            )  # fmt: skip
            path = f"/tmp/moby-frontend-{Path(tmp_path).name[-40:]}-{len(made)}.sock"
            frontend.__enter__()
            served = Served(frontend, path, containers, images, networks, volumes, events, log, place)
            made.append(served)
            if listen:
                assert frontend.listen([f"unix://{path}"]) == (f"unix://{path}",)
            return served

        yield start
        for each in made:  # first, as with engines: who is still answered asks the parts
            each.close()
            each.frontend.__exit__(None, None, None)
            assert not Path(each.path).exists()
        containers.close()
        if hasattr(volumes, "__exit__"):
            volumes.__exit__(None, None, None)
    bugs = [each for each in log.lines if each[0] == "error" and each[1] != "call failed"]
    assert not bugs, bugs[0][2]


@pytest.fixture
def served(serve):
    return serve()


@pytest.fixture
def make(served):
    """Make a container of a program, unstarted; return its id."""

    def make(*command, **fields):
        return served.containers.create(ContainerConfig("box", command, **fields)).id

    return make
