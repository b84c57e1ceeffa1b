"""What our engine replies is as the API's published description says, in several of its versions."""

import json
import re
import time

import docker
import pytest
from attrs import frozen
from clients.published import description
from peers.box import NAME

pytestmark = pytest.mark.slow
VERSIONS = ("1.25", "1.32", "1.41", "1.45")
_LISTS_OF_LISTS = r"Containers.\[\]: .* is not of type 'array'"
DIFFER = {
    "": [r"Isolation: '' is not one of", r"(MemorySwappiness|PidsLimit): None is not of type 'integer'"],
    "1.25": [
        r"ExecIDs: (None|\[.*\]) is not of type 'string'",
        r"NetworkSettings.Ports: \{\} is not of type 'array'",
        _LISTS_OF_LISTS,
    ],
    "1.32": [r"ExecIDs: (None|\[.*\]) is not of type 'string'", _LISTS_OF_LISTS, r"'Container' is a required property"],
    "1.45": [r"('id', )?'status' (was|were) unexpected"],
}
"""In what dockerd, too, is not as it is published; by version, or in all."""


def test_what_isn_t_as_published_is_told():
    reply = {"ID": "x", "ProcessConfig": {"privileged": 1}, "Running": "no", "Other": 1}
    found = description("1.45").faults("GET", "/exec/{id}/json", 200, reply)
    assert [each.partition(":")[0] for each in found] == ["", "ProcessConfig.privileged", "Running"]
    assert len(description("1.41").faults("GET", "/exec/{id}/json", 200, reply)) == 2


@pytest.fixture(scope="module", params=["moby", pytest.param("docker", marks=pytest.mark.long)])
def engine(request):
    """Our engine; and dockerd, which passes the same tests."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def box(engine):
    """A container that runs, with all that makes a reply long."""
    engine("volume", "create", "--label", "a=b", "kept")
    more = ["--label", "x=y", "-v", "kept:/kept", "-v", "/anonymous", "--tmpfs", "/t", "--ulimit", "nofile=100:200"]
    more += ["--health-cmd", "true", "--health-interval", "100ms", "--restart", "on-failure:3", "-m", "64m"]
    more += ["--device", "/dev/null:/dev/x", "--sysctl", "net.ipv4.ip_forward=1", "--expose", "80"]
    return engine.up(options=more)


@frozen
class Api:
    """Calls at one version of the API, each of whose replies must be as published."""

    client: docker.APIClient
    version: str

    def __call__(self, method, path, code=200, names=None, body=None, **query):
        url = f"{self.client.base_url}/v{self.version}{path.format(**names or {})}"
        got = self.client.request(method, url, params=query, json=body)
        assert got.status_code == code, got.text
        self.check(method, path, code, got.json())
        return got.json()

    def check(self, method, path, code, value):
        """See that a reply is as published."""
        found = description(self.version).faults(method, path, code, value)
        known = [*DIFFER[""], *DIFFER.get(self.version, ())]
        wrong = [each for each in found or () if not any(re.search(pattern, each) for pattern in known)]
        assert not wrong, "\n".join([f"{method} {path}", *wrong])


@pytest.fixture(params=VERSIONS)
def call(request, engine, box):
    client = docker.APIClient(
        base_url=f"unix:/{engine.sandbox.seen('/run/docker.sock')}", version=request.param, timeout=60
    )
    yield Api(client, request.param)
    client.close()


def test_the_engine_itself(call):
    call("GET", "/info")
    call("GET", "/version")
    call("GET", "/system/df")
    call("GET", "/plugins")


def test_a_container(call, box):
    of = {"id": box}
    call("GET", "/containers/{id}/json", names=of)
    call("GET", "/containers/{id}/json", names=of, size=1)
    call("GET", "/containers/json", all=1, size=1)
    call("GET", "/containers/{id}/top", names=of)
    call("GET", "/containers/{id}/changes", names=of)
    call("GET", "/containers/{id}/stats", names=of, stream=0)
    call("POST", "/containers/{id}/update", names=of, body={"Memory": 64 << 20})
    call("GET", "/containers/{id}/json", 404, names={"id": "nonesuch"})
    call("DELETE", "/containers/{id}", 409, names=of)


def test_a_container_s_whole_life(call):
    body = {"Image": NAME, "Cmd": ["sh", "-c", "exit 3"], "HostConfig": {"NetworkMode": "none"}}
    name = f"made{call.version}"
    of = {"id": call("POST", "/containers/create", 201, body=body, name=name)["Id"]}
    call("POST", "/containers/create", 409, body=body, name=name)
    call.client.start(of["id"])
    assert call("POST", "/containers/{id}/wait", names=of)["StatusCode"] == 3
    made = call("POST", "/commit", 201, container=of["id"], repo="made", tag=call.version)
    call("GET", "/images/{name}/json", names={"name": made["Id"]})
    call("POST", "/containers/prune")
    call("DELETE", "/images/{name}", names={"name": f"made:{call.version}"})


def test_exec(call, box):
    made = call("POST", "/containers/{id}/exec", 201, names={"id": box}, body={"Cmd": ["true"], "AttachStdout": True})
    call.client.exec_start(made["Id"])
    call("GET", "/exec/{id}/json", names={"id": made["Id"]})
    call("GET", "/exec/{id}/json", 404, names={"id": "nonesuch"})


def test_images(call):
    call("GET", "/images/json")
    call("GET", "/images/{name}/json", names={"name": NAME})
    call("GET", "/images/{name}/history", names={"name": NAME})
    call("POST", "/images/prune")
    call("GET", "/images/{name}/json", 404, names={"name": "nonesuch"})


def test_volumes(call):
    call("GET", "/volumes")
    name = call("POST", "/volumes/create", 201, body={"Name": "made", "Labels": {"a": "b"}})["Name"]
    call("GET", "/volumes/{name}", names={"name": name})
    call.client.remove_volume(name)
    call("POST", "/volumes/prune")
    call("GET", "/volumes/{name}", 404, names={"name": "nonesuch"})


def test_networks(call):
    call("GET", "/networks")
    call("GET", "/networks/{id}", names={"id": "none"}, verbose=1)
    call("POST", "/networks/prune")
    call("GET", "/networks/{id}", 404, names={"id": "nonesuch"})


def test_events(call, box):
    for chunk in call.client.events(since=1, until=int(time.time())):
        for line in chunk.splitlines():
            call.check("GET", "/events", 200, json.loads(line))


@pytest.mark.parametrize("path", ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"])
def test_no_swarm(call, path):
    if path in description(call.version).found["paths"]:
        call("GET", path, 503)
