"""Images, volumes, networks, the engine itself; and what this engine hasn't got."""

import base64
import functools
import http.server
import json
import threading

import pytest
from attrs import evolve
from moby_frontend.docker.handlers.progress import shown_progress

from moby.contracts.images import Progress
from moby.errors import Unavailable
from moby.oci.spec import OCI_VERSION

IMAGE = "sha256:" + "a" * 64


def filters(**values):
    return json.dumps(values).replace(" ", "").replace('"', "%22").replace("{", "%7B").replace("}", "%7D")


def messages(found):
    return [json.loads(each) for each in found.body.splitlines()]


class TestImages:
    def test_list(self, served):
        (found,) = served.call("GET", "/images/json?all=1").json()
        assert found == {
            "Containers": -1, "Created": 1767323045, "Id": IMAGE, "Labels": {"a": "b"}, "ParentId": "",
            "RepoDigests": [], "RepoTags": ["box:latest"], "SharedSize": -1, "Size": 1234,
        }  # fmt: skip
        assert served.images.calls[-1] == ("list", {}, True)

    def test_list_as_versions_have_it(self, served):
        served.call("POST", "/containers/create", {"Image": "box"})
        assert served.call("GET", "/images/json", version="v1.43").json()[0]["VirtualSize"] == 1234
        assert served.call("GET", "/images/json", version="v1.51").json()[0]["Containers"] == 1
        assert served.call("GET", "/images/json?shared-size=1").json()[0]["SharedSize"] == 0
        served.call("GET", "/images/json?filter=b*", version="v1.24")
        assert served.images.calls[-1] == ("list", {"reference": ("b*",)}, False)

    def test_filters(self, served):
        query = filters(reference=["box"], dangling=["false"], label=["a", "c=d"])
        assert served.call("GET", f"/images/json?filters={query}").status == 200
        assert served.images.calls[-1][1] == {"reference": ("box",), "dangling": ("false",), "label": ("a", "c=d")}
        assert served.call("GET", f"/images/json?filters={filters(x=['y'])}").message == "invalid filter 'x'"
        bad = served.call("GET", f"/images/json?filters={filters(dangling=['y'])}")
        assert (bad.status, bad.message) == (400, "invalid filter 'dangling=[y]'")

    def test_inspect(self, served):
        found = served.call("GET", "/images/box/json").json()
        assert (found["Id"], found["RepoTags"], found["Os"], found["Architecture"]) == (
            IMAGE,
            ["box:latest"],
            "linux",
            "amd64",
        )
        assert found["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "c" * 64]}
        assert found["Config"]["Cmd"] == ["sh"]
        assert "Hostname" in found["Config"]
        assert "VirtualSize" not in found
        assert "Hostname" not in served.call("GET", "/images/box/json", version="v1.50").json()["Config"]
        old = served.call("GET", "/images/box/json", version="v1.43").json()
        assert (old["VirtualSize"], old["Container"]) == (1234, "")

    def test_a_comment_is_the_last_steps_where_the_image_has_none(self, served):
        assert served.call("GET", "/images/box/json").json()["Comment"] == ""
        history = [{"comment": "first"}, {"comment": "made by a builder"}]
        served.images.image = evolve(served.images.image, raw_config={"history": history})
        assert served.call("GET", "/images/box/json").json()["Comment"] == "made by a builder"
        served.images.image = evolve(served.images.image, comment="own")
        assert served.call("GET", "/images/box/json").json()["Comment"] == "own"

    def test_history(self, served):
        first, second = served.call("GET", "/images/box/history").json()
        assert first == {
            "Id": IMAGE, "Created": 1767323045, "CreatedBy": "sh", "Tags": ["box:latest"], "Size": 5, "Comment": "said",
        }  # fmt: skip
        assert (second["Id"], second["Tags"]) == ("<missing>", None)

    def test_names_have_slashes(self, served):
        found = served.call("GET", "/images/registry.example:5000/a/b/c:tag/json")
        assert (found.status, found.message) == (404, "No such image: registry.example:5000/a/b/c:tag:latest")

    def test_tag(self, served):
        assert served.call("POST", "/images/box/tag?repo=x/y&tag=z").status == 201
        assert served.images.calls[-1] == ("tag", "docker.io/x/y:z")
        for repository in ("x/y:1", "h:5/y:1", "h:5/y"):  # a tag that is said apart replaces that of the name
            assert served.call("POST", f"/images/box/tag?repo={repository}&tag=2").status == 201
            name = repository.removesuffix(":1")
            assert served.images.calls[-1] == ("tag", f"{'docker.io/' if name == 'x/y' else ''}{name}:2")
        for query in ("", "?tag=z", "?repo=x/Y", "?repo=x@sha256:" + "a" * 64):
            assert served.call("POST", f"/images/box/tag{query}").status == 400

    def test_remove(self, served):
        identity = served.run("sleep", "100")
        found = served.call("DELETE", "/images/box?force=1&noprune=1")
        assert found.json() == [{"Untagged": "box:latest"}, {"Deleted": IMAGE}]
        assert served.images.calls[-1] == ("remove", "box", True, False, (identity,))
        assert served.call("DELETE", "/images/nonesuch").status == 404

    def test_prune(self, served):
        found = served.call("POST", f"/images/prune?filters={filters(dangling=['false'], until=['1h'])}")
        assert found.json() == {"ImagesDeleted": [{"Deleted": IMAGE}], "SpaceReclaimed": 99}
        assert served.images.calls[-1] == ("prune", {"dangling": ("false",), "until": ("1h",)})
        for text in ("x", "--1h", "99999999h", "9" * 400 + "h"):
            found = served.call("POST", f"/images/prune?filters={filters(until=[text])}")
            words = f'failed to parse value as time or duration: "{text[:100]}"'
            assert (found.status, found.message) == (400, words)

    def test_load(self, served):
        found = served.call("POST", "/images/load", b"x" * 100_000)
        assert found.headers["Content-Type"] == "application/json"
        progress, loaded = messages(found)
        assert progress["id"] == "abc"
        assert progress["progressDetail"] == {"current": 5, "total": 10}
        assert loaded == {"stream": "Loaded image: box:latest\n"}
        assert served.images.calls == [("load", 100_000, None)]
        assert messages(served.call("POST", "/images/load?quiet=1", b"x")) == [loaded]

    def test_load_fails_in_the_stream(self, served):
        found = served.call("POST", "/images/load", b"junk")
        assert found.status == 200
        assert messages(found) == [{"errorDetail": {"message": "no tar archive"}, "error": "no tar archive"}]

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("linux/arm64/v8", "linux/arm64/v8"), ("arm64", "linux/arm64"),
            ("%7B%22os%22:%22linux%22,%22architecture%22:%22arm%22,%22variant%22:%22v7%22%7D", "linux/arm/v7"),
        ],
    )  # fmt: skip
    def test_platforms(self, served, text, wanted):
        served.call("POST", f"/images/load?platform={text}", b"x")
        assert str(served.images.calls[-1][2]) == wanted

    @pytest.mark.parametrize("text", ["a/b/c/d", "linux/", "%7B%7D", "%7B"])
    def test_platforms_that_are_none(self, served, text):
        assert served.call("POST", f"/images/load?platform={text}", b"x").status == 400

    def test_save(self, served):
        for path in ("/images/box/get", "/images/get?names=box&names=new:tag"):
            found = served.call("GET", path)
            assert found.headers["Content-Type"] == "application/x-tar"
            assert found.body == b"x" * 300_000
        assert served.images.calls == [("save", ("box",)), ("save", ("box", "new:tag"))]
        assert served.call("GET", "/images/get").status == 400

    def test_import(self, served):
        path = "/images/create?fromSrc=-&repo=me/flat&tag=1&message=why&changes=CMD+x&changes=ENV+a%3Db"
        path += "&platform=linux/arm64"
        assert messages(served.call("POST", path, b"tar")) == [{"status": IMAGE}]
        call = served.images.calls[-1]
        assert (call[1], str(call[2]), call[3], call[4], str(call[5])) == (
            3, "docker.io/me/flat:1", ("CMD x", "ENV a=b"), "why", "linux/arm64",
        )  # fmt: skip
        assert served.call("POST", "/images/create?fromSrc=-", b"junk").message == "no tar archive"
        assert "fromSrc" in served.call("POST", "/images/create").message

    def test_import_of_what_the_engine_fetches(self, served, tmp_path):
        (tmp_path / "flat.tar").write_bytes(b"tar")
        (tmp_path / "bad.tar").write_bytes(b"junk")
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            at = f"127.0.0.1:{server.server_port}"
            try:
                found = served.call("POST", f"/images/create?fromSrc={at}/flat.tar&repo=me/flat")
                assert messages(found) == [{"status": f"Downloading from http://{at}/flat.tar"}, {"status": IMAGE}]
                call = served.images.calls[-1]
                assert (call[1], str(call[2]), call[4]) == (
                    3, "docker.io/me/flat:latest", f"Imported from http://{at}/flat.tar",
                )  # fmt: skip
                told = messages(served.call("POST", f"/images/create?fromSrc=http://{at}/bad.tar"))
                assert told[1]["error"] == "no tar archive"
                missing = served.call("POST", f"/images/create?fromSrc=http://{at}/none.tar")
                assert missing.status >= 500
                assert missing.message.startswith(f"failed to GET http://{at}/none.tar with status 404 File not found")
            finally:
                server.shutdown()
                thread.join(60)
        refused = served.call("POST", f"/images/create?fromSrc=http://{at}/flat.tar")
        assert refused.message.startswith(f'Get "http://{at}/flat.tar": [Errno 111] Connection refused')

    def test_import_of_what_wants_a_password(self, served):
        """It is sent where the URL says to alone, and told to nobody."""
        asked = []

        class Asking(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.headers["Authorization"])
                self.send_response(302 if self.path == "/moved" else 200 if asked[-1] else 401)
                self.send_header("Location", "/there")
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"tar")

            def log_message(self, *_):
                """Say nothing."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            at = f"127.0.0.1:{server.server_port}"
            try:
                found = served.call("POST", f"/images/create?fromSrc=http://u:hunter%25402@{at}/x")
                moved = served.call("POST", f"/images/create?fromSrc=http://u:hunter2@{at}/moved")
            finally:
                server.shutdown()
                thread.join(60)
        proof = base64.b64encode(b"u:hunter@2").decode()
        assert messages(found) == [{"status": f"Downloading from http://u:xxxxx@{at}/x"}, {"status": IMAGE}]
        assert served.images.calls[-1][4] == f"Imported from http://u:xxxxx@{at}/x"
        assert asked == [f"Basic {proof}", f"Basic {base64.b64encode(b'u:hunter2').decode()}", None]
        assert moved.message.startswith(f"failed to GET http://u:xxxxx@{at}/moved with status 401")
        refused = served.call("POST", f"/images/create?fromSrc=http://u:hunter2@{at}/x")
        assert refused.message.startswith(f'Get "http://u:xxxxx@{at}/x": [Errno 111]')
        assert "hunter2" not in repr(served.log.lines)

    def test_import_of_what_breaks_off(self, served):
        """An archive may look whole wherever it ends."""

        class Half(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"tar")

            def log_message(self, *_):
                """Say nothing."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                found = served.call("POST", f"/images/create?fromSrc=127.0.0.1:{server.server_port}/a.tar")
            finally:
                server.shutdown()
                thread.join(60)
        assert "/a.tar broke off: 997 bytes are missing" in messages(found)[1]["error"]

    @pytest.mark.parametrize("source", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
    def test_import_of_what_is_not_fetched(self, served, source):
        found = served.call("POST", f"/images/create?fromSrc={source}")
        assert (found.status, found.message.partition('"')[0]) == (400, "unsupported protocol scheme ")

    def test_old_clients_see_a_bar(self):
        shown = shown_progress(Progress(status="Loading", id="x", current=5_000_000, total=10_000_000))
        assert shown["progress"] == "[" + "=" * 25 + ">" + " " * 25 + "]      5MB/10MB"
        assert shown_progress(Progress(status="x", current=1500))["progress"] == "   1.5kB"
        assert shown_progress(Progress(status="x")) == {"status": "x", "progressDetail": {}}


class TestVolumes:
    def test_life(self, served):
        made = served.call("POST", "/volumes/create", {"Name": "v1", "Labels": {"a": "b"}})
        assert made.status == 201
        found = served.call("GET", "/volumes/v1").json()
        assert found == made.json()
        assert (found["Name"], found["Driver"], found["Labels"], found["Options"]) == ("v1", "local", {"a": "b"}, None)
        assert "." not in found["CreatedAt"]
        assert [each["Name"] for each in served.call("GET", "/volumes").json()["Volumes"]] == ["v1"]
        assert served.call("DELETE", "/volumes/v1").status == 204
        assert served.call("DELETE", "/volumes/v1").status == 404
        assert served.call("DELETE", "/volumes/v1?force=1").status == 204
        assert served.call("GET", "/volumes/v1").status == 404

    def test_one_that_is_used(self, served):
        served.call("POST", "/volumes/create", {"Name": "v1"})
        served.volumes.hold("v1", "c" * 64)
        found = served.call("DELETE", "/volumes/v1")
        assert found.status == 409

    def test_without_a_name(self, served):
        found = served.call("POST", "/volumes/create", {}).json()
        assert len(found["Name"]) == 64
        assert found["Labels"] == {"com.docker.volume.anonymous": ""}

    @pytest.mark.parametrize(
        ("body", "status"),
        [({"Name": "/"}, 400), ({"Driver": "nonesuch"}, 404), ({"DriverOpts": {"x": "y"}}, 400), ({"Name": 5}, 400)],
    )
    def test_create_fails(self, served, body, status):
        assert served.call("POST", "/volumes/create", body).status == status

    def test_filters(self, served):
        for name, labels in (("v1", {"a": "b"}), ("v2", {})):
            served.call("POST", "/volumes/create", {"Name": name, "Labels": labels})
        served.volumes.hold("v2", "c" * 64)

        def names(**wanted):
            found = served.call("GET", f"/volumes?filters={filters(**wanted)}").json()["Volumes"]
            return [each["Name"] for each in found]

        assert names(name=["1"]) == ["v1"]
        assert names(label=["a=b"]) == ["v1"]
        assert names(driver=["local"]) == ["v1", "v2"]
        assert names(driver=["x"]) == []
        assert names(dangling=["true"]) == ["v1"]
        assert names(dangling=["0"]) == ["v2"]
        for bad in ({"x": ["y"]}, {"dangling": ["y"]}):
            assert served.call("GET", f"/volumes?filters={filters(**bad)}").status == 400

    def test_prune(self, served):
        anonymous = served.call("POST", "/volumes/create", {}).json()["Name"]
        for name in ("v1", "v2"):
            served.call("POST", "/volumes/create", {"Name": name})
        served.volumes.hold("v2", "c" * 64)
        assert served.call("POST", "/volumes/prune").json()["VolumesDeleted"] == [anonymous]
        every = served.call("POST", f"/volumes/prune?filters={filters(all=['true'])}").json()
        assert every["VolumesDeleted"] == ["v1"]
        served.call("POST", "/volumes/create", {"Name": "share", "DriverOpts": {"type": "nfs"}})
        served.call("POST", "/volumes/create", {"Name": "v3"})
        assert served.call("POST", "/volumes/prune", version="v1.41").json()["VolumesDeleted"] == ["v3"]
        old = served.call("POST", f"/volumes/prune?filters={filters(all=['true'])}", version="v1.41")
        assert old.message == "invalid filter 'all'"

    def test_prune_leaves_volumes_of_other_drivers_than_the_default_one(self, served, monkeypatch):
        """As of a plugin, whose volumes other hosts may use."""
        served.call("POST", "/volumes/create", {"Name": "v1"})
        monkeypatch.setattr(served.volumes, "drivers", lambda: ("other", "local"))
        found = served.call("POST", f"/volumes/prune?filters={filters(all=['true'])}")
        assert found.json()["VolumesDeleted"] == []
        assert served.call("GET", "/volumes/v1").status == 200

    def test_swarms_volumes(self, served):
        served.call("POST", "/volumes/create", {"Name": "v1"})
        found = served.call("PUT", "/volumes/v1", {})
        assert (found.status, found.message) == (
            503, "volume update only valid for cluster volumes, but swarm is unavailable",
        )  # fmt: skip


class TestNetworks:
    def test_list(self, served):
        found = served.call("GET", "/networks").json()
        assert [each["Name"] for each in found] == ["host", "none"]
        assert found[1] == {
            "Name": "none",
            "Id": "n" * 64,
            "Created": "2026-01-02T03:04:05.600000000Z",
            "Scope": "local",
            "Driver": "null",
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": None},
            "Internal": False,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": {},
            "Labels": {},
        }
        assert served.call("GET", "/networks", version="v1.48").json()[0]["EnableIPv4"] is True

    @pytest.mark.parametrize(
        ("wanted", "names"),
        [
            ({"name": ["o"]}, ["host", "none"]), ({"name": ["^none$"]}, ["none"]), ({"id": ["nnn"]}, ["none"]),
            ({"driver": ["host"]}, ["host"]), ({"scope": ["swarm"]}, []), ({"type": ["custom"]}, []),
            ({"type": ["builtin"]}, ["host", "none"]), ({"label": ["x"]}, []), ({"dangling": ["true"]}, []),
        ],
    )  # fmt: skip
    def test_filters(self, served, wanted, names):
        assert [each["Name"] for each in served.call("GET", f"/networks?filters={filters(**wanted)}").json()] == names

    def test_filters_that_are_none(self, served):
        for bad in ({"x": ["y"]}, {"type": ["y"]}, {"dangling": ["y"]}):
            assert served.call("GET", f"/networks?filters={filters(**bad)}").status == 400
        found = served.call("GET", f"/networks?filters={filters(dangling=['y'])}")
        assert found.message.startswith('invalid value for filter \'dangling\', must be "true" (or "1")')

    def test_inspect(self, served):
        assert served.call("GET", "/networks/none").json()["Driver"] == "null"
        assert served.call("GET", "/networks/none?scope=swarm").status == 404
        found = served.call("GET", "/networks/nonesuch")
        assert (found.status, found.message) == (404, "network nonesuch not found")

    def test_create_and_remove(self, served):
        body = {"Name": "n", "Driver": "null", "IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]}, "Labels": {"a": "b"}}
        found = served.call("POST", "/networks/create", body)
        assert (found.status, found.json()) == (201, {"Id": "f" * 64, "Warning": "a warning"})
        made = served.networks.get("n")
        assert (made.ipam, dict(made.labels)) == (({"Subnet": "10.0.0.0/8"},), {"a": "b"})
        assert served.call("DELETE", "/networks/n").status == 204
        assert served.call("DELETE", "/networks/n").status == 404
        assert served.call("DELETE", "/networks/host").status == 403

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({}, 400, "invalid name: "),
            ({"Name": "n"}, 404, "could not find plugin bridge"),
            ({"Name": "host", "Driver": "null"}, 403, "operation is not permitted on predefined host network"),
            ({"Name": "n", "ConfigFrom": 5}, 400, "invalid JSON: "),
            ({"Name": "n", "Driver": "null", "Ingress": True}, 403, "Ingress network can only be global scope network"),
            ({"Name": "n", "Scope": "swarm"}, 403, "cannot create a swarm scoped network when swarm is not active"),
            ({"Name": "n", "IPAM": {"Config": [{"Subnet": 5}]}}, 400, "invalid JSON: "),
        ],
    )
    def test_create_fails(self, served, body, status, words):
        found = served.call("POST", "/networks/create", body)
        assert found.status == status
        assert found.message.startswith(words)

    def test_connect_and_disconnect(self, served):
        identity = served.call("POST", "/containers/create", {"Image": "box"}).json()["Id"]
        body = {"Container": identity, "EndpointConfig": {"Aliases": ["a"]}}
        assert served.call("POST", "/networks/none/connect", body).status == 200
        assert served.containers.calls[-1][3].aliases == ("a",)
        assert served.call("POST", "/networks/none/disconnect", {"Container": identity, "Force": True}).status == 200
        assert served.containers.calls[-1] == ("disconnect", identity, "none", True)
        for verb in ("connect", "disconnect"):
            found = served.call("POST", f"/networks/host/{verb}", {"Container": identity})
            assert (found.status, found.message) == (
                400, "container cannot be disconnected from host network or connected to host network",
            )  # fmt: skip
            assert served.call("POST", f"/networks/none/{verb}", {}).status == 400
            assert served.call("POST", f"/networks/none/{verb}", {"Container": "nonesuch"}).status == 404
        for network, words in (("none", "endpoint nonesuch not found"), ("nope", "network nope not found")):
            found = served.call("POST", f"/networks/{network}/disconnect", {"Container": "nonesuch", "Force": True})
            assert (found.status, found.message) == (404, words)

    def test_prune(self, served):
        served.call("POST", "/networks/create", {"Name": "n", "Driver": "null"})
        assert served.call("POST", f"/networks/prune?filters={filters(label=['x'])}").json() == {
            "NetworksDeleted": None
        }
        assert served.call("POST", "/networks/prune").json() == {"NetworksDeleted": ["n"]}


class TestEngine:
    def test_version(self, served):
        found = served.call("GET", "/version").json()
        assert (found["ApiVersion"], found["MinAPIVersion"], found["Os"]) == ("1.51", "1.24", "linux")
        engine, *others = found["Components"]
        assert (engine["Name"], engine["Version"]) == ("Engine", found["Version"])
        assert [(each["Name"], each["Version"]) for each in others] == [
            ("supervisor/local", "3.4"), ("runtime/native", "1.2"), ("runtime/runc", "1.2"), ("runc", "1.1.15+ds1"),
            ("crun", "1.21"),
        ]  # fmt: skip
        assert [each["Details"] for each in others] == [
            {}, *[{"BundleOciVersion": OCI_VERSION}] * 2, {"GitCommit": "1.1.15+ds1-2"}, {"GitCommit": ""},
        ]  # fmt: skip

    def test_commits(self, served):
        """Of the programs of others that dockerd tells of; those that aren't used have none."""
        found = served.call("GET", "/info", version="v1.51").json()
        names = ("RuncCommit", "ContainerdCommit", "InitCommit")
        assert [found[name] for name in names] == [{"ID": "1.1.15+ds1-2"}, {"ID": ""}, {"ID": ""}]
        old = served.call("GET", "/info", version="v1.45").json()
        assert old["RuncCommit"] == {"ID": "1.1.15+ds1-2", "Expected": "1.1.15+ds1-2"}

    def test_info(self, served):
        served.run("sleep", "100")
        found = served.call("GET", "/info").json()
        assert (found["Containers"], found["ContainersRunning"], found["Images"]) == (1, 1, 1)
        assert (found["DefaultRuntime"], sorted(found["Runtimes"])) == ("native", ["native", "runc"])
        assert (found["LoggingDriver"], found["Plugins"]["Log"]) == ("json-file", ["json-file", "none"])
        assert found["Swarm"]["LocalNodeState"] == "inactive"
        assert found["ID"] == served.call("GET", "/info").json()["ID"]
        assert found["DriverStatus"] == [["Backing Filesystem", "ext4"], ["userxattr", "false"]]
        options = found["SecurityOptions"]
        assert (options[0], options[-1]) == ("name=seccomp,profile=builtin", "name=cgroupns")
        assert "BridgeNfIptables" not in served.call("GET", "/info", version="v1.50").json()

    def test_folders_of_an_image(self, served):
        found = served.call("GET", "/images/box/json").json()["GraphDriver"]
        assert found == {"Name": "overlay2", "Data": {"UpperDir": f"/snapshots/{served.images.image.id}/fs"}}
        served.images.storage_error = Unavailable("the part images/store is gone")
        assert served.call("GET", "/images/box/json").json()["GraphDriver"]["Data"] == {}

    def test_info_of_images_that_do_not_answer(self, served):
        served.images.storage_error = Unavailable("the part images/store is gone")
        assert served.call("GET", "/info").json()["DriverStatus"] == []

    def test_usage_of_volumes_that_are_elsewhere(self, served, monkeypatch):
        for name in ("v1", "v2"):
            served.call("POST", "/volumes/create", {"Name": name})
        monkeypatch.setattr(served.volumes, "size_bytes", {"v1": -1, "v2": 7}.__getitem__)
        [found] = served.call("GET", "/system/df").json()["Volumes"]
        assert (found["Name"], found["UsageData"]["Size"]) == ("v2", 7)

    def test_usage(self, served):
        served.run("sleep", "100")
        served.call("POST", "/volumes/create", {"Name": "v1"})
        found = served.call("GET", "/system/df").json()
        assert found["LayersSize"] == 1234
        assert (found["Images"][0]["Containers"], found["Images"][0]["SharedSize"]) == (1, 0)
        assert (found["Containers"][0]["SizeRw"], found["Containers"][0]["SizeRootFs"]) == (3, 10)
        assert found["Volumes"][0]["UsageData"] == {"RefCount": 0, "Size": 0}
        one = served.call("GET", "/system/df?type=volume").json()
        assert (one["Images"], one["Containers"], len(one["Volumes"])) == (None, None, 1)
        bad = served.call("GET", "/system/df?type=x")
        assert (bad.status, bad.message) == (400, "unknown object type: x")
        assert served.call("GET", "/system/df?type=x", version="v1.41").status == 200


class TestImageNames:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/images/{}/json"), ("GET", "/images/{}/history"), ("DELETE", "/images/{}"),
            ("GET", "/images/{}/get"), ("GET", "/images/get?names={}"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("BOX", ": repository name (library/BOX) must be lowercase"),
            ("me/Box:1", ": repository name (me/Box) must be lowercase"),
            ("me:5/a/B@sha256:" + "0" * 64, ": repository name (a/B) must be lowercase"),
            ("a:b:c", ""),
            ("A:b:c", ""),
            ("-x", ""),
        ],
    )
    def test_one_that_none_can_have(self, served, method, path, name, words):
        found = served.call(method, path.format(name))
        assert (found.status, found.message) == (400, f"invalid reference format{words}")

    def test_an_id_is_none_but_means_an_image(self, served):
        assert served.call("GET", f"/images/{'0' * 64}/json").status == 404


class TestAbsent:
    def test_swarm(self, served):
        words = "This node is not a swarm manager."
        for path in ("swarm", "services", "nodes", "tasks", "secrets", "configs", "services/x", "tasks/x/logs"):
            found = served.call("GET", f"/{path}")
            assert (found.status, found.message.startswith(words)) == (503, True)
        assert served.call("POST", "/services/create", {}).status == 503
        assert served.call("POST", "/swarm/leave").message == "This node is not part of a swarm"
        assert served.call("POST", "/swarm/init", {}).status == 503

    def test_plugins(self, served):
        assert served.call("GET", "/plugins").json() == []
        found = served.call("GET", "/plugins/a/b/json")
        assert (found.status, found.message) == (404, 'plugin "a/b" not found')
        assert served.call("POST", "/plugins/pull").status == 501

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/auth", 501),
            ("GET", "/images/search?term=x", 501),
            ("GET", "/distribution/x/json", 501),
            ("POST", "/build", 501),
            ("POST", "/build/cancel?id=x", 404),
            ("POST", "/session", 400),
            ("POST", "/grpc", 400),
            ("GET", "/containers/x/checkpoints", 501),
        ],
    )
    def test_others(self, served, method, path, status):
        found = served.call(method, path)
        assert found.status == status
        assert found.message

    def test_sessions_are_not_upgraded(self, served):
        found = served.call("POST", "/session", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert found.status == 404

    def test_no_build_cache(self, served):
        assert served.call("POST", "/build/prune").json() == {"CachesDeleted": None, "SpaceReclaimed": 0}
