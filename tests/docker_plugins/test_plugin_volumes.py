"""The part `volume-driver/plugin`, with a plugin that speaks docker's protocol and nothing else."""

import json
import threading

import pytest
from attrs import evolve
from docker_plugins.plugin_server import Handler, Server
from moby_volume.plugin.driver import PluginVolumes

from moby.contracts.ambient import Place
from moby.errors import HostUnfit, Invalid, Unavailable
from moby.host.docker_plugins import Answered, Plugin
from moby.testing.volume_driver import VolumeDriverSuite


@pytest.fixture
def places(tmp_path):
    """Folders as docker looks for plugins in, of which the first has the socket of `filed`."""
    found = [tmp_path / "run", tmp_path / "etc"]
    for each in found:
        each.mkdir()
    return found


@pytest.fixture
def server(tmp_path, places):
    with Server(places[0] / "filed.sock", tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def plugin(places, server):
    return Plugin("filed", "VolumeDriver", places, patience_s=0.2)


def calls(server):
    return [tuple(json.loads(line)) for line in server.calls.read_text().splitlines()]


@pytest.fixture
def driver(tmp_path, plugin):
    def make():
        for each in ("state", "run"):
            (tmp_path / "engine" / each).mkdir(parents=True, exist_ok=True)
        return PluginVolumes(plugin, Place(tmp_path / "engine/state", tmp_path / "engine/run", tmp_path, "e"))

    return make


class TestPluginVolumes(VolumeDriverSuite):
    @pytest.fixture
    def driver(self, driver):
        return driver


def test_what_a_plugin_is_told(driver, server):
    part = driver()
    assert part.scope == "global"
    part.create("a", {"kept": "yes"})
    part.mount("a", "c1")
    part.mount("a", "c1")
    part.unmount("a", "c1")
    part.remove("a")
    told = [each for each in calls(server) if each[0] != "Plugin.Activate"]
    assert told == [
        ("VolumeDriver.Capabilities", {}),
        ("VolumeDriver.Create", {"Name": "a", "Opts": {"kept": "yes"}}),
        ("VolumeDriver.Mount", {"Name": "a", "ID": "c1"}),
        ("VolumeDriver.Path", {"Name": "a"}),
        ("VolumeDriver.Unmount", {"Name": "a", "ID": "c1"}),
        ("VolumeDriver.Remove", {"Name": "a"}),
    ]


def test_what_a_plugin_refuses_is_told_in_its_words(driver, server, tmp_path):
    part = driver()
    part.create("a", {})
    (tmp_path / "volumes/a").rmdir()
    for call in (lambda: part.mount("a", "c"), lambda: part.remove("a")):
        with pytest.raises(HostUnfit, match=r"the plugin filed says: .*no volume a here"):
            call()
    server.parts["VolumeDriver"].Mount = lambda given: {"Mountpoint": "/nonesuch"}
    with pytest.raises(HostUnfit, match="mounts a at '/nonesuch', which is no folder here"):
        part.mount("a", "c")


def test_reclaiming_unmounts(driver, server):
    part = driver()
    part.create("a", {})
    part.mount("a", "c1")
    driver().reclaim()
    assert ("VolumeDriver.Unmount", {"Name": "a", "ID": "c1"}) in calls(server)
    part.remove("a")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.spec", "unix://{run}/filed.sock\n"),
        ("x/x.spec", "unix://{run}/filed.sock"),
        ("x.json", '{{"Name": "x", "Addr": "unix://{run}/filed.sock"}}'),
    ],
)
def test_files_that_say_where_a_plugin_listens(plugin, places, name, text):
    path = places[1] / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(run=places[0]))
    assert evolve(plugin, name="x").call("List") == {"Volumes": [], "Err": ""}


def test_a_plugin_that_is_not_there(plugin, places):
    with pytest.raises(HostUnfit, match="there is no plugin nonesuch") as found:
        evolve(plugin, name="nonesuch").call("List")
    assert str(places[1]) in found.value.hint
    for address, error, words in (
        ("unix:///nonesuch", Unavailable, "doesn't answer at unix:///nonesuch"),
        ("ftp://x", Invalid, "no address of a plugin"),
        ("tcp://127.0.0.1:99999", Invalid, "no address of a plugin"),
        ("tcp://[x:1", Invalid, "no address of a plugin"),
        ("tcp://127.0.0.1:1", Unavailable, "doesn't answer at"),
    ):
        (places[1] / "x.spec").write_text(address)
        with pytest.raises(error, match=words):
            evolve(plugin, name="x").call("List")
    for tls in ({"CAFile": "/nonesuch"}, {"CertFile": "/nonesuch"}, {"CAFile": 7.5}):
        (places[1] / "z.json").write_text(json.dumps({"Addr": "https://127.0.0.1:1", "TLSConfig": tls}))
        with pytest.raises(HostUnfit, match=r"TLS to the plugin at https://127\.0\.0\.1:1 can't be done"):
            evolve(plugin, name="z").call("List")
    (places[1] / "y.json").write_text("[]")
    with pytest.raises(Invalid, match="doesn't say where the plugin listens"):
        evolve(plugin, name="y").call("List")


def test_answers_that_are_none(plugin, server):
    with pytest.raises(Answered, match=r"knows no VolumeDriver\.Nonesuch"):
        plugin.call("Nonesuch")
    server.parts["VolumeDriver"].List = lambda given: _NoObject()
    with pytest.raises(Answered, match="no object of JSON"):
        plugin.call("List")
    for implements, said in ((["authz"], r"\['authz'\]"), (5, "5"), ("VolumeDrivers", "VolumeDrivers"), (None, "None")):
        server.implements = implements
        with pytest.raises(HostUnfit, match=rf"is no VolumeDriver; it is: {said}$"):
            plugin.call("List")


class _NoObject(list):
    def __or__(self, other):
        return [1]


def test_an_answer_that_breaks_off(plugin, monkeypatch):
    def broken(handler):
        if handler.path == "/Plugin.Activate":
            usual(handler)
        else:
            handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")
            handler.close_connection = True

    usual = Handler.do_POST
    monkeypatch.setattr(Handler, "do_POST", broken)
    with pytest.raises(Unavailable, match=r"breaks off its answer to VolumeDriver\.List"):
        plugin.call("List")


def test_a_plugin_that_hangs_up(plugin, server, monkeypatch):
    monkeypatch.setattr("docker_plugins.plugin_server.Handler.do_POST", lambda self: self.connection.shutdown(2))
    with pytest.raises(Unavailable, match=r"doesn't answer VolumeDriver\.List"):
        plugin.call("List")
