"""docker-py, unmodified, on our engine: the view of those who write programs."""

import gc
import io
import tarfile
import threading

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import Healthcheck, LogConfig, Mount, Ulimit
from peers.box import NAME
from peers.sandbox import until

pytestmark = pytest.mark.slow
STAY = ["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"]


# docker-py leaves the connections of streams to the garbage collector.
LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def collected():
    """Have what a test leaves to the garbage collector collected at its end, and not in another one."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def client(moby):
    found = docker.DockerClient(base_url=f"unix:/{moby.sandbox.seen('/run/docker.sock')}", timeout=60)
    yield found
    found.close()


@pytest.fixture
def up(client):
    """A container that stays until it is told to end, which it listens for by now."""
    container = client.containers.run(NAME, STAY, detach=True, network_mode="none")
    until(lambda: container.logs() == b"up\n", "the program's word")
    yield container
    container.remove(force=True)


def archive(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


class TestRun:
    def test_output(self, client):
        assert client.containers.run(NAME, "echo hello", remove=True, network_mode="none") == b"hello\n"

    def test_errors_too(self, client):
        said = client.containers.run(
            NAME, ["sh", "-c", "echo out; echo err >&2"], remove=True, network_mode="none", stdout=True, stderr=True
        )
        assert sorted(said.splitlines()) == [b"err", b"out"]

    def test_an_exit_code_is_an_error(self, client):
        with pytest.raises(ContainerError) as caught:
            client.containers.run(NAME, ["sh", "-c", "echo why >&2; exit 7"], remove=True, network_mode="none")
        assert (caught.value.exit_status, caught.value.stderr) == (7, b"why\n")

    def test_an_image_that_is_not_there(self, client):
        with pytest.raises(ImageNotFound):
            client.images.get("no/such:image")

    def test_options(self, client):
        container = client.containers.create(
            NAME, "true", network_mode="none", environment={"A": "1"}, labels={"k": "v"}, mem_limit="64m",
            nano_cpus=500_000_000, pids_limit=20, cap_drop=["ALL"], cap_add=["CHOWN"], hostname="there", user="1000",
            working_dir="/tmp", ulimits=[Ulimit(name="nofile", soft=100, hard=200)], tmpfs={"/t": "size=1m"},
            mounts=[Mount("/data", "named", type="volume")], sysctls={"net.ipv4.ip_forward": "1"}, read_only=True,
            restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}, extra_hosts={"there": "10.0.0.1"},
            healthcheck=Healthcheck(test=["CMD", "true"], interval=10**9), shm_size="8m", init=True,
            log_config=LogConfig(type="json-file", config={"max-size": "1m"}), security_opt=["no-new-privileges"],
        )  # fmt: skip
        try:
            seen = client.api.inspect_container(container.id)
            host, config = seen["HostConfig"], seen["Config"]
            assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 500_000_000, 20)
            assert (host["CapDrop"], host["CapAdd"], host["ReadonlyRootfs"]) == (["ALL"], ["CHOWN"], True)
            assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
            assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
            assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
            assert (host["Tmpfs"], host["ShmSize"], host["Init"]) == ({"/t": "size=1m"}, 8 << 20, True)
            assert (host["ExtraHosts"], host["Sysctls"]) == (["there:10.0.0.1"], {"net.ipv4.ip_forward": "1"})
            assert (config["Hostname"], config["User"], config["WorkingDir"]) == ("there", "1000", "/tmp")
            assert (config["Labels"], config["Healthcheck"]["Interval"]) == ({"k": "v"}, 10**9)
            assert "A=1" in config["Env"]
            assert [(each["Type"], each["Destination"]) for each in seen["Mounts"]] == [("volume", "/data")]
        finally:
            container.remove(v=True)
            client.volumes.get("named").remove()


class TestLife:
    def test_states(self, up):
        up.reload()
        assert up.status == "running"
        up.pause()
        up.reload()
        assert up.status == "paused"
        up.unpause()
        up.stop(timeout=60)
        up.reload()
        assert (up.status, up.attrs["State"]["ExitCode"]) == ("exited", 3)
        up.start()
        up.kill()
        assert up.wait(timeout=60)["StatusCode"] == 137

    def test_lists_and_filters(self, client, up):
        assert up.id in [each.id for each in client.containers.list()]
        assert [each.id for each in client.containers.list(filters={"id": up.id})] == [up.id]
        assert client.containers.list(filters={"label": ["no=such"]}) == []
        assert client.containers.get(up.short_id).name == up.name

    def test_rename_update_top_stats(self, client, up):
        up.rename("renamed")
        assert client.containers.get("renamed").id == up.id
        up.update(mem_limit="64m", memswap_limit="64m")
        assert client.api.inspect_container(up.id)["HostConfig"]["Memory"] == 64 << 20
        assert "CMD" in up.top()["Titles"]
        once = up.stats(stream=False)
        assert once["memory_stats"]["limit"] == 64 << 20
        assert once["pids_stats"]["current"] >= 1
        stream = up.stats(decode=True)
        assert next(stream)["cpu_stats"]["cpu_usage"]["total_usage"] > 0
        assert next(stream)["precpu_stats"]["cpu_usage"]["total_usage"] > 0

    def test_errors(self, client, up):
        with pytest.raises(NotFound):
            client.containers.get("nothing")
        with pytest.raises(APIError) as caught:
            client.containers.create(NAME, "true", name=up.name)
        assert caught.value.status_code == 409
        with pytest.raises(APIError) as caught:
            up.remove()
        assert caught.value.status_code == 409


class TestStreams:
    def test_logs(self, client):
        container = client.containers.run(
            NAME, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"], detach=True, network_mode="none"
        )
        try:
            assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]
            assert container.logs(tail=1) == b"3\n"
            assert (
                container.logs(timestamps=True).split(b" ")[1]
                == b"1\n" + container.logs(timestamps=True).split(b"\n")[1].split(b" ")[0]
            )
        finally:
            container.remove(force=True)

    def test_attach_gives_what_comes(self, client):
        container = client.containers.create(NAME, ["sh", "-c", "echo a; echo b >&2"], network_mode="none")
        try:
            stream = container.attach(stream=True, stdout=True, stderr=True, demux=True)
            container.start()
            found = list(stream)
            assert b"".join(out for out, _ in found if out) == b"a\n"
            assert b"".join(err for _, err in found if err) == b"b\n"
        finally:
            container.remove(force=True)

    @LEFT_TO_THE_COLLECTOR
    @pytest.mark.parametrize("logs", [True, False])
    def test_what_was_attached_to_its_end_has_ended(self, client, logs, collected):
        for _ in range(10):
            container = client.containers.create(NAME, ["sh", "-c", "echo a"], network_mode="none")
            stream = container.attach(stream=True, logs=logs)
            container.start()
            assert list(stream) == [b"a\n"]
            container.reload()
            assert container.status == "exited"
            container.remove()

    @LEFT_TO_THE_COLLECTOR
    def test_attach_socket_takes_input(self, client, collected):
        container = client.containers.create(NAME, "cat", network_mode="none", stdin_open=True, tty=True)
        try:
            container.start()
            attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
            attached._sock.sendall(b"hello\n")
            found = b""
            while found.count(b"hello\r\n") < 2:
                found += attached._sock.recv(100)
            attached.close()
        finally:
            container.remove(force=True)

    @LEFT_TO_THE_COLLECTOR
    def test_exec(self, client, up, collected):
        done = up.exec_run(["sh", "-c", "echo $A; id -u; exit 4"], environment={"A": "1"}, user="1000")
        assert (done.exit_code, done.output) == (4, b"1\n1000\n")
        done = up.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
        assert done.output == (b"out\n", b"err\n")
        made = client.api.exec_create(up.id, "cat", stdin=True)
        socket = client.api.exec_start(made["Id"], socket=True)
        socket._sock.sendall(b"hello")
        socket._sock.shutdown(1)
        found = b""
        while chunk := socket._sock.recv(100):
            found += chunk
        assert found == b"\x01\0\0\0\0\0\0\x05hello"
        socket.close()
        assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0

    @LEFT_TO_THE_COLLECTOR
    def test_the_size_of_an_exec_that_has_just_begun(self, client, up, collected):
        for _ in range(5):
            made = client.api.exec_create(up.id, ["sh", "-c", "read line; stty size"], tty=True, stdin=True)
            socket = client.api.exec_start(made["Id"], socket=True, tty=True)
            client.api.exec_resize(made["Id"], 33, 99)
            socket._sock.sendall(b"\n")
            found = b""
            while chunk := socket._sock.recv(100):
                found += chunk
            assert b"33 99" in found
            socket.close()

    def test_events(self, client):
        found = []
        events = client.events(decode=True, filters={"type": "container", "label": "marked=yes"})

        def follow():
            for each in events:
                found.append(each["Action"])
                if each["Action"] == "destroy":
                    return

        follower = threading.Thread(target=follow)
        follower.start()
        client.containers.run(NAME, "true", remove=True, network_mode="none", labels={"marked": "yes"})
        follower.join(60)
        events.close()
        assert [each for each in found if each != "attach"] == ["create", "start", "die", "destroy"]


class TestFiles:
    def test_archives(self, up):
        assert up.put_archive("/tmp", archive("file", b"content"))
        chunks, stat = up.get_archive("/tmp/file")
        assert (stat["name"], stat["size"]) == ("file", 7)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            assert tar.extractfile("file").read() == b"content"
        with pytest.raises(NotFound):
            up.get_archive("/no/such")
        assert {"Path": "/tmp/file", "Kind": 1} in up.diff()

    def test_export_and_commit(self, client, up):
        up.put_archive("/tmp", archive("file", b"kept"))
        with tarfile.open(fileobj=io.BytesIO(b"".join(up.export()))) as tar:
            assert "tmp/file" in tar.getnames()
        image = up.commit("committed", "2", message="said", changes=["ENV X=1"])
        try:
            assert client.containers.run(image, "cat /tmp/file", remove=True, network_mode="none") == b"kept"
            assert "X=1" in image.attrs["Config"]["Env"]
        finally:
            client.images.remove("committed:2")

    def test_commit_with_a_config(self, client, up):
        up.commit("configured", "1", conf={"Cmd": ["echo", "mine"], "Labels": {"a": "b"}, "Env": ["X=1"]})
        try:
            config = client.images.get("configured:1").attrs["Config"]
            assert (config["Cmd"], config["Labels"]["a"], config["Env"][0]) == (["echo", "mine"], "b", "X=1")
            assert client.containers.run("configured:1", remove=True, network_mode="none") == b"mine\n"
        finally:
            client.images.remove("configured:1")


class TestImages:
    def test_save_and_load(self, client):
        data = b"".join(client.images.get(NAME).save(named=True))
        (loaded,) = client.images.load(data)
        assert NAME in loaded.tags

    def test_tag_list_history_remove(self, client):
        image = client.images.get(NAME)
        assert image.tag("another", "3")
        assert "another:3" in client.images.get("another:3").tags
        assert image.id in [each.id for each in client.images.list("another")]
        assert image.history() == []  # its config tells of none
        client.images.remove("another:3")
        with pytest.raises(ImageNotFound):
            client.images.get("another:3")


class TestRest:
    def test_volumes(self, client):
        volume = client.volumes.create("kept", labels={"a": "b"})
        assert [each.name for each in client.volumes.list(filters={"label": "a=b"})] == ["kept"]
        client.containers.run(NAME, "sh -c 'echo x >/v/f'", remove=True, network_mode="none", volumes=["kept:/v"])
        said = client.containers.run(NAME, "cat /v/f", remove=True, network_mode="none", volumes=["kept:/v:ro"])
        assert said == b"x\n"
        volume.remove()
        with pytest.raises(NotFound):
            client.volumes.get("kept")

    def test_networks(self, client):
        assert {"host", "none"} <= {each.name for each in client.networks.list()}
        with pytest.raises(NotFound):
            client.networks.get("nothing")

    def test_system(self, client):
        assert client.ping()
        assert client.version()["Os"] == "linux"
        assert client.info()["Images"] >= 1
        assert {"Images", "Containers", "Volumes"} <= set(client.df())
        client.containers.create(NAME, "true", network_mode="none", labels={"prune": "me"})
        gone = client.containers.prune(filters={"label": "prune=me"})
        assert len(gone["ContainersDeleted"]) == 1
