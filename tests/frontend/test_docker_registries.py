"""Pull, push, login and what a name means: in docker's words, with docker's status codes."""

import base64
import json
from urllib.parse import quote

import pytest
from frontend.fake_parts import INDEX, MANIFEST, FakeImageRegistry
from frontend.test_docker_objects import messages

from moby.contracts.image_registry import Credentials
from moby.contracts.types import Digest, ImageReference, Platform

HEX = "a" * 64


def header(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text).decode()}


@pytest.fixture
def linked(serve):
    """A front end beside an image registry."""
    return serve(image_registry=FakeImageRegistry())


class TestSearch:
    @pytest.mark.parametrize(
        ("term", "asked"),
        [
            ("box", ("docker.io", "box")),
            ("me/box", ("docker.io", "me/box")),
            ("library/box", ("docker.io", "box")),
            ("docker.io/library/box", ("docker.io", "box")),
            ("localhost/box", ("localhost", "box")),
            ("127.0.0.1:5000/me/box", ("127.0.0.1:5000", "me/box")),
        ],
    )
    def test_where(self, serve, term, asked):
        registry = FakeImageRegistry()
        found = serve(image_registry=registry).call(
            "GET", f"/images/search?term={term}", headers=header({"username": "me", "password": "s"})
        )
        assert found.json()[0] == {
            "star_count": 7, "is_official": True, "name": "box", "is_automated": False, "description": "Small",
        }  # fmt: skip
        assert registry.asked == [(*asked, 25, Credentials("me", "s"))]

    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            ({}, ["box", "me/box"]),
            ({"stars": ["3"]}, ["box"]),
            ({"stars": ["3", "8"]}, []),
            ({"is-official": ["true"]}, ["box"]),
            ({"is-official": ["false"]}, ["me/box"]),
            ({"is-automated": ["1"]}, ["me/box"]),
        ],
    )
    def test_filters(self, linked, filters, names):
        found = linked.call("GET", f"/images/search?term=x&limit=100&filters={quote(json.dumps(filters))}")
        assert [each["name"] for each in found.json()] == names

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("term=x&limit=101", "limit 101 is outside the range of [1, 100]"),
            ("term=x&limit=-1", "limit -1 is outside the range of [1, 100]"),
            ("term=x&limit=y", 'invalid limit: strconv.Atoi: parsing "y": invalid syntax'),
            ("term=x&filters=" + quote('{"bad":["x"]}'), "invalid filter 'bad'"),
            (
                "term=x&filters=" + quote('{"stars":["x"]}'),
                "invalid filter 'stars=x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                "term=https://me:5/x",
                "invalid repository name: repository name (https://me:5/x) should not have a scheme",
            ),
        ],
    )
    def test_refusals(self, linked, query, words):
        found = linked.call("GET", f"/images/search?{query}")
        assert (found.status, found.message) == (400, words)


class TestPull:
    def test_the_stream(self, served):
        found = served.call("POST", "/images/create?fromImage=box&tag=latest")
        assert found.status == 200
        assert messages(found) == [
            {"status": "Pulling from library/box", "id": "latest"},
            {"status": "Pulling fs layer", "progressDetail": {}, "id": "abc"},
            {
                "status": "Downloading", "progressDetail": {"current": 5, "total": 10}, "id": "abc",
                "progress": "[=========================>                         ]       5B/10B",
            },
            {"status": "Digest: sha256:1"},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("query", "reference"),
        [
            ("fromImage=box&tag=1", ImageReference("docker.io", "library/box", "1")),
            ("fromImage=box:1", ImageReference("docker.io", "library/box", "1")),
            ("fromImage=box", ImageReference("docker.io", "library/box")),
            (f"fromImage=box&tag=sha256:{HEX}", ImageReference("docker.io", "library/box", "", Digest("sha256", HEX))),
            ("fromImage=here:5000/a/b&tag=2", ImageReference("here:5000", "a/b", "2")),
        ],
    )
    def test_what_is_asked_for(self, served, query, reference):
        served.call("POST", f"/images/create?{query}&platform=linux/arm/v7")
        assert served.images.calls == [("pull", reference, None, Platform("linux", "arm", "v7"))]

    @pytest.mark.parametrize(
        ("given", "credentials"),
        [
            ({"username": "me", "password": "secret"}, Credentials("me", "secret")),
            ({"auth": base64.b64encode(b"me:se:cret").decode()}, Credentials("me", "se:cret")),
            ({"identitytoken": "t"}, Credentials(identity_token="t")),
            ({"registrytoken": "t"}, Credentials(registry_token="t")),
            ({"username": None}, None),
            ({}, None),
            (b"nonsense", None),
            ([], None),
            ({"auth": "%"}, None),
        ],
    )
    def test_who_asks(self, served, given, credentials):
        served.call("POST", "/images/create?fromImage=box&tag=1", headers=header(given))
        served.call("POST", "/images/box/push?tag=1", headers=header(given))
        assert [call[2] for call in served.images.calls] == [credentials, credentials]

    def test_a_header_that_is_no_base64(self, served):
        assert served.call("POST", "/images/create?fromImage=box", headers={"X-Registry-Auth": "%%"}).status == 200

    @pytest.mark.parametrize(
        ("name", "status", "text"),
        [
            ("absent", 404, "manifest for absent:latest not found: manifest unknown"),
            ("denied", 404, "pull access denied for denied"),
            ("Not%20A", 400, "invalid reference format"),
        ],
    )
    def test_what_goes_wrong_before_anything_came(self, served, name, status, text):
        found = served.call("POST", f"/images/create?fromImage={name}&tag=latest")
        assert (found.status, found.message.startswith(text)) == (status, True)

    def test_what_goes_wrong_later(self, served):
        found = served.call("POST", "/images/create?fromImage=broken&tag=latest")
        assert found.status == 200
        assert messages(found)[-1]["errorDetail"] == {"message": "layer abc is damaged"}


class TestPush:
    def test_the_stream(self, served):
        found = served.call("POST", "/images/here:5000/a/b/push?tag=1")
        assert messages(found) == [
            {"status": "The push refers to repository [docker.io/library/box]"},
            {"status": "Pushed", "progressDetail": {}, "id": "abc"},
            {"progressDetail": {}, "aux": {"Tag": "latest", "Digest": f"sha256:{'d' * 64}", "Size": 99}},
        ]
        assert served.images.calls == [("push", ImageReference("here:5000", "a/b", "1"), None)]

    def test_all_of_a_repository(self, served):
        served.call("POST", "/images/box/push")
        assert served.images.calls == [("push", ImageReference("docker.io", "library/box"), None)]

    def test_what_goes_wrong(self, served):
        found = served.call("POST", "/images/denied/push?tag=1")
        assert found.status == 200
        assert messages(found)[-1]["error"] == "denied: requested access to the resource is denied"


class TestLogin:
    def test_it_is_proven(self, linked):
        found = linked.call("POST", "/auth", {"username": "me", "password": "secret", "serveraddress": "here:5000"})
        assert (found.status, found.json()) == (200, {"IdentityToken": "kept", "Status": "Login Succeeded"})

    @pytest.mark.parametrize("given", [{"username": "me", "password": "wrong", "serveraddress": "here"}, {}])
    def test_or_refused(self, linked, given):
        found = linked.call("POST", "/auth", given)
        assert (found.status, "401 Unauthorized" in found.message) == (401, True)

    def test_what_is_no_login(self, linked):
        found = linked.call("POST", "/auth", {"auth": "/w=="})
        assert (found.status, "invalid auth" in found.message) == (400, True)

    def test_an_engine_without_a_client(self, served):
        found = served.call("POST", "/auth", {"username": "me"})
        assert (found.status, "no image registry's client" in found.message) == (501, True)
        assert served.call("GET", "/distribution/box/json").status == 501


class TestDistribution:
    def test_one_image(self, linked):
        found = linked.call("GET", "/distribution/box/json", headers=header({"username": "me"})).json()
        assert found["Descriptor"]["mediaType"] == MANIFEST
        assert found["Descriptor"]["digest"].startswith("sha256:")
        assert found["Descriptor"]["size"] > 0
        assert found["Platforms"] == [{"architecture": "arm", "os": "linux", "variant": "v7"}]

    def test_an_index(self, linked):
        found = linked.call("GET", "/distribution/several:1/json").json()
        assert found["Descriptor"]["mediaType"] == INDEX
        assert found["Platforms"] == [
            {"architecture": "amd64", "os": "linux"}, {"architecture": "arm", "os": "linux", "variant": "v7"},
        ]  # fmt: skip

    @pytest.mark.parametrize(("name", "status"), [("absent", 404), ("denied", 401), ("Not%20A", 400), ("large", 400)])
    def test_what_goes_wrong(self, linked, name, status):
        assert linked.call("GET", f"/distribution/{name}/json").status == status
