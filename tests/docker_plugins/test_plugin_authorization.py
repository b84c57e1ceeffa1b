"""Authorization plugins of docker's at the front end: asked before each call, and before each answer."""

import base64
import json
import threading

import pytest
from docker_plugins.plugin_server import Refused, Server
from frontend.conftest import Connection, serve  # noqa: F401  # a fixture

from moby.host import docker_plugins


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The folder where plugins are looked for."""
    found = tmp_path / "plugins"
    found.mkdir()
    usual = docker_plugins.Plugin._address

    def address(self):
        object.__setattr__(self, "places", (found,))
        object.__setattr__(self, "patience_s", 0.2)
        return usual(self)

    monkeypatch.setattr(docker_plugins.Plugin, "_address", address)
    return found


@pytest.fixture
def guard(tmp_path, places):
    with Server(places / "guard.sock", tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def guarded(serve, guard):  # noqa: F811
    return serve(authorization=("guard",))


def told(guard):
    found = [json.loads(line) for line in guard.calls.read_text().splitlines()]
    return [(path.removeprefix("AuthZPlugin."), given) for path, given in found if path != "Plugin.Activate"]


def test_what_a_plugin_is_told(guarded, guard):
    body = {"Image": "box", "Cmd": ["true"]}
    headers = {"X-Registry-Auth": "secret", "X-More": "1"}
    done = guarded.call("POST", "/containers/create?name=a", body, headers=headers)
    assert done.status == 201
    (first, asked), (second, answered) = told(guard)
    assert (first, second) == ("AuthZReq", "AuthZRes")
    assert (asked["RequestMethod"], asked["RequestUri"]) == ("POST", "/v1.47/containers/create?name=a")
    assert json.loads(base64.b64decode(asked["RequestBody"])) == body
    assert asked["RequestHeaders"]["Content-Type"] == "application/json"
    assert asked["RequestHeaders"]["X-More"] == "1"
    assert "secret" not in str(asked)
    assert answered == {
        **asked, "ResponseStatusCode": 201, "ResponseHeaders": {"Content-Type": "application/json"},
        "ResponseBody": answered["ResponseBody"],
    }  # fmt: skip
    assert json.loads(base64.b64decode(answered["ResponseBody"]))["Id"]


def test_a_call_that_is_refused_is_not_made(guarded):
    done = guarded.call("POST", "/containers/create", {"Image": "box", "HostConfig": {"Privileged": True}})
    assert (done.status, done.message) == (403, "authorization denied by plugin guard: no privileges here")
    assert guarded.call("GET", "/containers/json?all=1").json() == []


def test_an_answer_that_is_refused_is_not_given(guarded):
    done = guarded.call("GET", "/volumes")
    assert (done.status, done.message) == (403, "authorization denied by plugin guard: none of your business")


def test_a_stream_is_not_shown_and_is_refused_before_it_begins(guarded, guard):
    identity = guarded.run("sh", "-c", "true")
    guarded.call("POST", f"/containers/{identity}/wait")
    done = guarded.call("GET", f"/containers/{identity}/logs?stdout=1")
    assert done.status == 200
    assert "ResponseBody" not in told(guard)[-1][1]
    guard.parts["AuthZPlugin"].AuthZRes = lambda given: {"Allow": False}
    done = guarded.call("GET", f"/containers/{identity}/logs?stdout=1")
    assert (done.status, done.message) == (403, "authorization denied by plugin guard: ")


def test_an_error_is_an_answer_too(guarded, guard):
    assert guarded.call("GET", "/containers/nonesuch/json").status == 404
    assert told(guard)[-1][1]["ResponseStatusCode"] == 404


@pytest.mark.parametrize(
    ("path", "headers", "size"),
    [
        ("/auth", {"Content-Type": "application/json"}, 10),
        ("/containers/create", {"Content-Type": "text/plain"}, 10),
    ],
    ids=["password", "no-json"],
)
def test_bodies_that_are_not_shown(guarded, guard, path, headers, size):
    guarded.call("POST", path, json.dumps({"a": "x" * size}), headers=headers)
    assert "RequestBody" not in told(guard)[0][1]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_can_t_be_shown_is_refused(guarded, guard, chunked):
    body = json.dumps({"Image": "box", "HostConfig": {"Privileged": True}, "a": "x" * (4 << 20)}).encode()
    connection = Connection(guarded.path)
    try:
        given = iter((body,)) if chunked else body
        connection.request("POST", "/v1.47/containers/create", given, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert (reply.status, json.loads(reply.read())["message"].partition(":")[0]) == (413, "authorization denied")
    finally:
        connection.close()
    assert not guard.calls.exists()
    assert guarded.call("GET", "/containers/json?all=1").json() == []


def test_a_large_body_is_shown_whole(guarded, guard):
    body = {"Image": "box", "Labels": {"a": "x" * (2 << 20)}}
    assert guarded.call("POST", "/containers/create", body).status == 201
    assert json.loads(base64.b64decode(told(guard)[0][1]["RequestBody"])) == body


def test_the_front_end_s_own_rules_come_first(serve, guard):  # noqa: F811
    served = serve(authorization=("guard",), rules=("deny /info",))
    assert served.call("GET", "/info").message.startswith("authorization denied by plugin allow: GET /info")
    assert not guard.calls.exists()


def test_all_of_several_are_asked(serve, guard, places):  # noqa: F811
    (places / "other.spec").write_text(f"unix://{places}/guard.sock")
    served = serve(authorization=("guard", "other"))
    assert served.call("GET", "/_ping").status == 200
    assert [name for name, _ in told(guard)] == ["AuthZReq", "AuthZReq", "AuthZRes", "AuthZRes"]
    assert served.call("GET", "/info").json()["Plugins"]["Authorization"] == ["guard", "other"]


def test_without_any_nobody_is_named(serve):  # noqa: F811
    assert serve().call("GET", "/info").json()["Plugins"]["Authorization"] is None


def test_a_plugin_that_is_not_there_allows_nothing(serve, places):  # noqa: F811
    done = serve(authorization=("nonesuch",)).call("GET", "/_ping")
    assert (done.status, done.message) == (500, "plugin nonesuch failed with error: there is no plugin nonesuch")


@pytest.mark.parametrize("method", ["AuthZReq", "AuthZRes"])
@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ({"Allow": True, "Err": "no luck"}, 500, "plugin guard failed with error: AuthZPlugin.{}: no luck"),
        ({"Allow": "yes"}, 403, "authorization denied by plugin guard: "),
        ({}, 403, "authorization denied by plugin guard: "),
        (None, 500, "plugin guard failed with error: AuthZPlugin.{}: broken"),
    ],
)
def test_what_does_not_say_yes_allows_nothing(guarded, guard, method, answer, status, message):
    def judge(given):
        if answer is None:
            raise Refused("broken")
        return answer

    # The plugin of the tests adds an error of its own to each answer, an empty one.
    setattr(guard.parts["AuthZPlugin"], method, lambda given: _Kept(judge(given)))
    done = guarded.call("GET", "/_ping")
    assert (done.status, done.message) == (status, message.format(method))


class _Kept(dict):
    """An answer to which nothing is added."""

    def __or__(self, other):
        return {**other, **self}
