"""Containers over the API: their life, lists, descriptions, files; and docker's words where something fails."""

import base64
import json
import tracemalloc

import pytest
from attrs import evolve
from frontend.fakes import IMAGE
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.listing import _ports
from moby_frontend.docker.modes import go_mode

from moby.contracts.containers import FileStat, State, Status
from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint
from moby.contracts.types import Digest, Mount
from moby.host.overlay import FUSE, escape


@pytest.fixture
def box(served):
    """A container that runs until it is killed, named `aa`."""
    identity = served.call("POST", "/containers/create?name=aa", {"Image": "box", "Cmd": ["sleep", "100"]}).json()["Id"]
    assert served.call("POST", "/containers/aa/start").status == 204
    return identity


def filters(**values):
    return json.dumps(values).replace(" ", "").replace('"', "%22").replace("{", "%7B").replace("}", "%7D")


class TestLife:
    def test_create(self, served):
        found = served.call("POST", "/containers/create?name=/aa", {"Image": "box", "Labels": {"warn": ""}})
        assert found.status == 201
        assert found.json() == {"Id": served.containers.get("aa").id, "Warnings": ["a warning"]}

    @pytest.mark.parametrize(
        ("path", "body", "status", "words"),
        [
            ("", {"Image": "nonesuch"}, 404, "No such image: nonesuch:latest"),
            # Not 404, after which a client would pull the image.
            ("", {"Image": "box", "HostConfig": {"VolumesFrom": ["other"]}}, 400, "No such container: other"),
            ("?platform=linux/arm64", {"Image": "box"}, 404, "image with reference box was found but does not match"),
            ("?platform=linux/amd64", {"Image": "nonesuch"}, 404, "No such image: nonesuch:latest"),
            ("?name=aa", {"Image": "box"}, 409, 'Conflict. The container name "/aa" is already in use by container'),
            ("", {}, 400, "config cannot be empty in order to create a container"),
        ],
    )
    def test_create_fails(self, served, box, path, body, status, words):
        found = served.call("POST", f"/containers/create{path}", body)
        assert found.status == status
        assert found.message.startswith(words)

    @pytest.mark.parametrize(("version", "mode"), [("v1.39", "shareable"), ("v1.40", "")])
    def test_create_by_a_version(self, served, version, mode):
        made = served.call("POST", "/containers/create", {"Image": "box"}, version=version).json()
        assert served.containers.get(made["Id"]).config.ipc_mode == mode

    def test_create_for_a_platform(self, served):
        assert served.call("POST", "/containers/create?platform=linux/amd64", {"Image": "box"}).status == 201

    def test_start_of_one_that_runs(self, served, box):
        found = served.call("POST", "/containers/aa/start")
        assert (found.status, found.body) == (304, b"")

    def test_start_takes_no_body(self, served, box):
        found = served.call("POST", "/containers/aa/start", {"a": "bbbbbbbbb"})
        assert found.status == 400
        assert "non-empty request body was deprecated" in found.message

    def test_start_of_what_is_not_there(self, served):
        served.call("POST", "/containers/create?name=aa", {"Image": "box", "Cmd": ["/nonesuch"]})
        found = served.call("POST", "/containers/aa/start")
        assert found.status == 400
        assert "executable file not found" in found.message

    def test_stop(self, served, box):
        assert served.call("POST", "/containers/aa/stop?t=5&signal=INT").status == 204
        assert served.call("POST", "/containers/aa/stop").status == 304
        assert served.containers.calls == [("stop", 5, "INT"), ("stop", None, "")]

    def test_the_signal_of_stop_is_newer(self, served, box):
        served.call("POST", "/containers/aa/stop?signal=INT&t=-1", version="v1.41")
        assert served.containers.calls == [("stop", -1, "")]

    def test_restart(self, served, box):
        assert served.call("POST", "/containers/aa/restart?t=1").status == 204
        assert served.containers.get("aa").state.status is Status.RUNNING

    def test_kill(self, served, box):
        bad = served.call("POST", "/containers/aa/kill?signal=XX")
        assert (bad.status, bad.message) == (400, "cannot kill container: aa: invalid signal: XX")
        assert served.call("POST", "/containers/aa/kill").status == 204
        assert served.call("POST", "/containers/aa/wait").json() == {"StatusCode": 137}
        late = served.call("POST", "/containers/aa/kill")
        assert (late.status, late.message) == (409, f"cannot kill container: aa: container {box} is not running")

    def test_pause(self, served, box):
        assert served.call("POST", "/containers/aa/pause").status == 204
        assert served.call("POST", "/containers/aa/pause").status == 409
        assert served.call("POST", "/containers/aa/exec", {"Cmd": ["true"]}).message == (
            "Container aa is paused, unpause the container before exec"
        )
        assert served.call("POST", "/containers/aa/attach?stream=1").status == 409
        assert served.call("POST", "/containers/aa/unpause").status == 204
        found = served.call("POST", "/containers/aa/unpause")
        assert (found.status, found.message) == (500, f"Container {box} is not paused")

    def test_rename(self, served, box):
        assert served.call("POST", "/containers/aa/rename?name=/bb").status == 204
        assert served.containers.get("bb").id == box
        found = served.call("POST", "/containers/bb/rename")
        assert (found.status, found.message) == (400, "Neither old nor new names may be empty")

    def test_update(self, served, box):
        found = served.call("POST", "/containers/aa/update", {"Memory": 5, "RestartPolicy": {"Name": "always"}})
        assert (found.status, found.json()) == (200, {"Warnings": ["a warning"]})
        change = served.containers.calls[-1][1]
        assert change.resources == {"memory_bytes": 5}
        assert change.restart.name == "always"

    def test_resize(self, served, box):
        assert served.call("POST", "/containers/aa/resize?h=3&w=9").status == 200  # it has no terminal
        found = served.call("POST", "/containers/aa/resize?h=x&w=9")
        assert (found.status, found.message) == (400, 'strconv.Atoi: parsing "x": invalid syntax')
        assert served.call("POST", "/containers/aa/resize?h=99999&w=9").status == 400
        for query in ("", "?h=3", "?w=9", "?h=3&w="):
            found = served.call("POST", f"/containers/aa/resize{query}")
            assert (found.status, found.message) == (400, 'strconv.Atoi: parsing "": invalid syntax')
        served.containers.kill("aa")
        served.call("POST", "/containers/aa/wait")
        assert served.call("POST", "/containers/aa/resize?h=3&w=9").status == 409

    def test_remove(self, served, box):
        found = served.call("DELETE", "/containers/aa")
        assert found.status == 409
        assert found.message.startswith('cannot remove container "/aa": container is running')
        assert served.call("DELETE", "/containers/aa?force=1&v=true").status == 204
        assert served.containers.calls[1] == ("remove", True, True)
        assert served.call("DELETE", "/containers/aa").status == 404

    @pytest.mark.parametrize(
        ("name", "status", "words"),
        [
            ("web/db", 501, "link /web/db can't be removed by itself: a container keeps the links that it was created"),
            ("web/aa", 404, "No such container: web/aa"),
            ("nonesuch/db", 404, "No such container: nonesuch"),
            ("web", 500, "Conflict, cannot remove the default link name of the container"),
            ("nonesuch", 404, "No such container: nonesuch"),
        ],
    )
    def test_links_stay(self, served, box, name, status, words):
        body = {"Image": "box", "HostConfig": {"Links": ["aa:db"]}}
        served.call("POST", "/containers/create?name=web", body)
        found = served.call("DELETE", f"/containers/{name}?link=1")
        assert found.status == status
        assert found.message.startswith(words)
        assert served.containers.get("web").config.links == ("aa:db",)
        assert served.call("DELETE", "/containers/web/db").message == "No such container: web/db"

    def test_prune(self, served, box):
        for name, label in (("bb", "x"), ("cc", "y")):
            body = {"Image": "box", "Labels": {label: ""}}
            served.call("POST", f"/containers/create?name={name}", body)
        wanted = served.containers.get("bb").id
        found = served.call("POST", f"/containers/prune?filters={filters(label=['x'])}").json()
        assert found == {"ContainersDeleted": [wanted], "SpaceReclaimed": 7}
        until = served.call("POST", f"/containers/prune?filters={filters(until=['1h'])}").json()
        assert until == {"ContainersDeleted": None, "SpaceReclaimed": 0}
        assert served.call("POST", f"/containers/prune?filters={filters(name=['x'])}").status == 400
        bad = served.call("POST", f"/containers/prune?filters={filters(until=['1h', '2h'])}")
        assert bad.message == "more than one until filter specified"

    def test_commit(self, served, box):
        path = "/commit?container=aa&repo=me/app&tag=v1&comment=why&author=me&changes=CMD+x&pause=0"
        found = served.call("POST", path, {"Env": ["A=b"]})
        assert (found.status, found.json()) == (201, {"Id": IMAGE})
        _, reference, options = served.containers.calls[-1]
        assert reference == "me/app:v1"
        assert options == {
            "message": "why", "author": "me", "changes": ("CMD x",), "pause": False,
            "config": {"environment": ("A=b",)},
        }  # fmt: skip
        served.call("POST", "/commit?container=aa", {"HostConfig": {}})
        assert served.containers.calls[-1][2]["config"] is None
        assert served.call("POST", "/commit?container=aa", {"Env": "A=b"}).status == 400
        assert served.call("POST", "/commit").message == 'invalid name or ID supplied: ""'
        assert served.call("POST", "/commit?container=aa&tag=x").status == 400

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "json"), ("GET", "top"), ("GET", "changes"), ("GET", "stats"), ("GET", "logs?stdout=1"),
            ("GET", "export"), ("POST", "start"), ("POST", "stop"), ("POST", "restart"), ("POST", "kill"),
            ("POST", "pause"), ("POST", "unpause"), ("POST", "rename?name=x"), ("POST", "resize?h=1&w=1"),
            ("POST", "wait"), ("POST", "attach"), ("GET", "archive?path=/"), ("HEAD", "archive?path=/"),
            ("PUT", "archive?path=/"),
        ],
    )  # fmt: skip
    def test_one_that_is_not_there(self, served, method, path):
        found = served.call(method, f"/containers/nonesuch/{path}", b"" if method == "PUT" else None)
        assert found.status == 404
        if method != "HEAD":
            assert "nonesuch" in found.message


class TestDescriptions:
    def test_folders_of_an_overlay(self, served, box):
        def found():
            return served.call("GET", "/containers/aa/json").json()["GraphDriver"]["Data"]

        below = ("/snapshots/2/fs", "/snap:shots/1/fs")
        options = (f"lowerdir={':'.join(map(escape, below))}", "upperdir=/snapshots/3/fs", "workdir=/snapshots/3/work")
        shown = {"LowerDir": ":".join(below), "UpperDir": "/snapshots/3/fs", "WorkDir": "/snapshots/3/work"}
        for kind in ("overlay", FUSE):
            served.images.roots = (Mount("/", "overlay", kind, (*options, "metacopy=off")),)
            assert found() == shown | {"MergedDir": "/run/aa/rootfs"}
        served.images.roots = (Mount("/", "/snapshots/3/fs", "bind", ("rbind", "rw")),)
        assert found() == {}
        served.images.roots = ()
        assert found() == {}

    def test_inspect(self, served, box):
        found = served.call("GET", "/containers/aa/json").json()
        assert (found["Id"], found["Name"], found["Path"], found["Args"]) == (box, "/aa", "sleep", ["100"])
        assert found["State"]["Running"] is True
        assert found["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
        assert found["HostConfig"]["NetworkMode"] == "default"
        assert found["Config"]["Image"] == "box"
        assert "SizeRw" not in found
        sized = served.call("GET", "/containers/aa/json?size=1").json()
        assert (sized["SizeRw"], sized["SizeRootFs"]) == (3, 10)

    def test_an_exit_code_that_nobody_saw(self, served, box):
        """As dockerd shows it after a power cut; the error says that it's nobody's."""
        since = "2026-01-01T00:00:00Z"
        served.containers.set("aa", status=Status.EXITED, exit_code=None, started=since, finished=since)
        state = served.call("GET", "/containers/aa/json").json()["State"]
        assert (state["ExitCode"], state["Error"]) == (255, "the exit code is unknown: nobody saw it end")
        (shown,) = served.call("GET", "/containers/json?all=1").json()
        assert shown["Status"].startswith("Exited (255) ")
        for code, found in ((255, [box]), (0, [])):
            listed = served.call("GET", f"/containers/json?all=1&filters={filters(exited=[str(code)])}").json()
            assert [each["Id"] for each in listed] == found

    def test_top_and_changes(self, served, box):
        found = served.call("GET", "/containers/aa/top?ps_args=-ef").json()
        assert found == {"Titles": ["UID", "PID"], "Processes": [["root", "-ef"]]}
        assert served.call("GET", "/containers/aa/changes").json() == [
            {"Path": "/new", "Kind": 1}, {"Path": "/etc", "Kind": 0}, {"Path": "/old", "Kind": 2},
        ]  # fmt: skip


class TestList:
    @pytest.fixture(autouse=True)
    def several(self, served, box):
        """Besides `aa`, which runs: `bb`, made after it, with labels and a port; `cc`, the newest."""
        body = {"Image": "localhost/box", "Labels": {"x": "1", "y": "2"}, "ExposedPorts": {"80/tcp": {}}}
        served.call("POST", "/containers/create?name=bb", body)
        served.call("POST", "/containers/create?name=cc", {"Image": "box", "Cmd": ["sh", "-c", "exit 3"]})
        served.call("POST", "/containers/cc/start")
        served.call("POST", "/containers/cc/wait")

    def names(self, served, query="all=1", version="v1.47"):
        found = served.call("GET", f"/containers/json?{query}", version=version)
        assert found.status == 200, found.message
        return [each["Names"][0][1:] for each in found.json()]

    def test_those_that_run_all_and_some(self, served):
        assert self.names(served, "") == ["aa"]
        assert self.names(served) == ["cc", "bb", "aa"]
        assert self.names(served, "limit=2") == ["cc", "bb"]
        assert self.names(served, "all=0") == ["aa"]

    def test_fields(self, served):
        (found,) = served.call("GET", "/containers/json?size=1").json()
        assert found["Command"] == "sleep 100"
        assert found["Status"].startswith("Up ")
        assert (found["State"], found["SizeRw"], found["SizeRootFs"]) == ("running", 3, 10)
        assert found["HostConfig"] == {"NetworkMode": "default"}
        newest = served.call("GET", "/containers/json?all=1").json()[0]
        assert newest["Command"] == "sh -c 'exit 3'"
        assert newest["Status"].startswith("Exited (3) ")

    def test_images_whose_name_means_another_or_none_by_then(self, served, monkeypatch):
        def shown():
            found = served.call("GET", "/containers/json?all=1").json()
            assert served.call("GET", "/system/df").json()["Containers"][0]["Image"] == found[0]["Image"]
            return [each["Image"] for each in found]

        asked = []
        get = served.images.get
        monkeypatch.setattr(served.images, "get", lambda name: asked.append(name) or get(name))
        assert shown() == ["box", IMAGE, "box"]  # nothing is named `localhost/box`
        assert sorted(asked[:2]) == ["box", "localhost/box"]  # once each
        assert len(asked) == 4
        monkeypatch.setattr(served.images, "image", evolve(served.images.image, id=Digest("sha256", "d" * 64)))
        assert shown() == [IMAGE] * 3
        assert self.names(served, f"all=1&filters={filters(ancestor=['box'])}") == []

    @pytest.mark.parametrize(
        ("wanted", "names"),
        [
            ({"name": ["a"]}, ["aa"]),
            ({"name": ["^/bb$"]}, ["bb"]),
            ({"name": ["^b.$", "cc"]}, ["cc", "bb"]),
            ({"name": ["("]}, []),
            ({"status": ["exited"]}, ["cc"]),
            ({"status": {"running": True, "created": True}}, ["bb", "aa"]),
            ({"label": ["x"]}, ["bb"]),
            ({"label": ["x=1", "y=2"]}, ["bb"]),
            ({"label": ["x=2"]}, []),
            ({"exited": ["3"]}, ["cc"]),
            ({"exited": ["0"]}, []),
            ({"exited": ["%2B3"]}, ["cc"]),
            ({"exited": ["0" * 5000 + "3"]}, ["cc"]),
            ({"exited": ["-9223372036854775808"]}, []),
            ({"ancestor": ["localhost/box"]}, []),  # a name that no image has any more, though `bb` was made by it
            ({"ancestor": ["box"]}, ["cc", "bb", "aa"]),
            ({"ancestor": ["nonesuch"]}, []),
            ({"before": ["bb"]}, ["aa"]),
            ({"since": ["bb"]}, ["cc"]),
            ({"health": ["none"]}, ["cc", "bb", "aa"]),
            ({"health": ["healthy"]}, []),
            ({"network": ["none"]}, ["cc", "bb", "aa"]),
            ({"network": ["nnnn"]}, ["cc", "bb", "aa"]),
            ({"network": ["host"]}, []),
            ({"volume": ["v"]}, []),
            ({"expose": ["80"]}, []),  # of what runs alone
            ({"publish": ["80"]}, []),
            ({"is-task": ["true"]}, []),
            ({"is-task": ["false"]}, ["cc", "bb", "aa"]),
            ({"isolation": ["default"]}, ["cc", "bb", "aa"]),
            ({"isolation": ["hyperv"]}, []),
        ],
    )
    def test_filters(self, served, wanted, names):
        assert self.names(served, f"all=1&filters={filters(**wanted)}") == names

    @pytest.mark.parametrize(
        ("wanted", "names"),
        [
            ({"expose": ["80"]}, ["bb"]),
            ({"expose": ["79-81/tcp"]}, ["bb"]),
            ({"expose": ["80/"]}, ["bb"]),
            ({"expose": ["80/tcp/udp"]}, ["bb"]),
            ({"expose": ["080-80-x"]}, ["bb"]),
            ({"expose": ["80/udp"]}, []),
            ({"expose": ["1-79", "82"]}, []),
            ({"publish": ["80"]}, []),
            ({"publish": ["8080"]}, ["bb"]),
            ({"publish": ["8080"], "expose": ["9"]}, ["bb"]),
            ({"publish": ["9"], "expose": ["80"]}, ["bb"]),
            ({"publish": ["0"]}, ["bb"]),  # what is exposed alone
            ({"publish": ["0/udp"]}, []),
        ],
    )
    def test_ports_of_what_runs(self, served, wanted, names):
        found = served.containers.get("bb")
        served.containers.all[found.id] = evolve(
            found, config=evolve(found.config, exposed_ports=("80/tcp", "81/tcp")), state=State(Status.RUNNING, pid=7),
            endpoints=(Endpoint("n" * 64, "front", "e" * 64),), ports=(Port("tcp", 80, "0.0.0.0", 8080),),
            sandbox="/run/netns/bb",
        )  # fmt: skip
        assert self.names(served, f"all=1&filters={filters(**wanted)}") == names

    def test_ids(self, served, box):
        assert self.names(served, f"all=1&filters={filters(id=[box[:10]])}") == ["aa"]

    @pytest.mark.parametrize(
        ("wanted", "status", "words"),
        [
            ({"x": ["y"]}, 400, "invalid filter 'x'"),
            ({"status": ["y"]}, 400, "invalid filter 'status=y'"),
            ({"exited": ["9" * 5000]}, 400, "invalid filter 'exited=9999"),
            ({"exited": ["-" + "9" * 19]}, 400, "invalid filter 'exited=-9999999999999999999': strconv.Atoi: parsing"),
            ({"exited": ["1_0"]}, 400, "invalid filter 'exited=1_0': strconv.Atoi: parsing \"1_0\": invalid syntax"),
            ({"exited": ["y"]}, 400, "invalid filter 'exited=y': strconv.Atoi: parsing \"y\": invalid syntax"),
            ({"health": ["y"]}, 400, "unrecognized filter value for health: y"),
            ({"before": ["y"]}, 404, "No such container: y"),
            ({"since": ["y"]}, 404, "No such container: y"),
            ({"is-task": ["y"]}, 400, "invalid filter 'is-task=[y]'"),
            ({"publish": ["y"]}, 500, 'error while looking up for publish y: strconv.ParseUint: parsing "y": invalid'),
            ({"publish": ["9" * 5000]}, 500, "error while looking up for publish 999"),
            (
                {"publish": ["70000"]},
                500,
                'error while looking up for publish 70000: strconv.ParseUint: parsing "70000": v',
            ),
            (
                {"expose": ["80-"]},
                500,
                'error while looking up for expose 80-: strconv.ParseUint: parsing "": invalid s',
            ),
            (
                {"expose": ["9-7"]},
                500,
                "error while looking up for expose 9-7: Invalid range specified for the Port: 9-7",
            ),
            ({"expose": ["/tcp"]}, 500, "error while looking up for expose /tcp: Empty string specified for ports."),
            ({"expose": ["1:2"]}, 500, "filter for 'expose' should not contain ':': 1:2"),
        ],
    )
    def test_filters_that_are_none(self, served, wanted, status, words):
        found = served.call("GET", f"/containers/json?filters={filters(**wanted)}")
        assert found.status == status
        assert found.message.startswith(words)

    @pytest.mark.parametrize("text", ["xx", "[]", "%7B%22name%22:5%7D", "%7B%22name%22:%5B5%5D%7D"])
    def test_filters_that_can_not_be_read(self, served, text):
        found = served.call("GET", f"/containers/json?filters={text}")
        assert (found.status, found.message) == (400, "invalid filter")

    def test_filters_of_nothing(self, served, box):
        assert self.names(served, "all=1&filters=null") == self.names(served, "all=1")

    def test_hostile_expressions_take_no_time(self, served):
        slow = filters(name=["(a+)+!", "((a)|(a))*!", "x" * 2000], id=["(([a-f0-9])|([a-f0-9]))*!"])
        assert self.names(served, f"all=1&filters={slow}") == []

    def test_ports_that_are_asked_for_are_not_written_out(self):
        wanted = Filters(json.dumps({"publish": [f"0-65535/p{each}" for each in range(40)]}), ("publish",))
        tracemalloc.start()
        try:
            ports = _ports("publish", wanted)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert len(ports) == 40

    def test_limits_that_are_none(self, served):
        assert served.call("GET", "/containers/json?limit=x").status == 400
        assert served.call("GET", "/containers/json?limit=" + "9" * 30).status == 400


class TestFiles:
    def test_stat(self, served, box):
        served.containers.paths["/etc/x"] = b"tar"
        for method in ("HEAD", "GET"):
            found = served.call(method, "/containers/aa/archive?path=/etc/x")
            assert found.status == 200
            assert found.body == (b"tar" if method == "GET" else b"")
            assert json.loads(base64.b64decode(found.headers["X-Docker-Container-Path-Stat"])) == {
                "name": "x", "size": 3, "mode": 0o644, "mtime": "1970-01-01T00:00:01Z", "linkTarget": "",
            }  # fmt: skip

    def test_what_is_not_there(self, served, box):
        found = served.call("GET", "/containers/aa/archive?path=/nonesuch")
        assert (found.status, found.message) == (404, "Could not find the file /nonesuch in container aa")
        assert served.call("GET", "/containers/aa/archive").status == 400
        assert served.call("GET", "/containers/aa/archive?path=%00").status == 400

    def test_write(self, served, box):
        path = "/containers/aa/archive?path=/tmp&noOverwriteDirNonDir=1&copyUIDGID=1"
        assert served.call("PUT", path, b"x" * 500_000).status == 200
        assert served.containers.written == [("/tmp", 500_000, True, True)]
        assert served.call("PUT", "/containers/aa/archive?path=/read-only", b"").status == 403

    def test_export(self, served, box):
        assert served.call("GET", "/containers/aa/export").body == b"tarball"

    @pytest.mark.parametrize(
        ("mode", "wanted"),
        [
            (0o040755, 1 << 31 | 0o755),
            (0o120777, 1 << 27 | 0o777),
            (0o104755, 1 << 23 | 0o755),
            (0o010600, 1 << 25 | 0o600),
            (0o041777, 1 << 31 | 1 << 20 | 0o777),
            (0o020600, 1 << 26 | 1 << 21 | 0o600),
            (0o060600, 1 << 26 | 0o600),
            (0o140600, 1 << 24 | 0o600),
            (0o102644, 1 << 22 | 0o644),
        ],
    )
    def test_modes_are_gos(self, mode, wanted):
        assert FileStat("x", 0, mode, 0)
        assert go_mode(mode) == wanted
