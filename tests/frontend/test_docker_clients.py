"""The unmodified docker command and docker-py, against containers that are programs of this machine."""

import gc
import subprocess

import docker
import pytest
from peers.binaries import environment, need

PATIENCE_S = 60


@pytest.fixture
def command(served):
    program = need("docker", "docker")

    def run(*args, input=""):
        done = subprocess.run(
            [program, *args], env=environment(DOCKER_HOST=f"unix://{served.path}", HOME="/nonexistent"), input=input,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


class TestCommand:
    def test_run(self, command):
        assert command("run", "--rm", "box", "sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\n", "err\n")
        assert command("run", "--rm", "-i", "box", "cat", input="typed") == (0, "typed", "")

    def test_run_of_what_is_not_there(self, command):
        code, _, errors = command("run", "--rm", "box", "/nonesuch")
        assert code == 127
        assert "executable file not found" in errors
        code, _, errors = command("run", "--rm", "absent", "x")
        assert code == 125
        assert "Unable to find image 'absent:latest' locally" in errors
        assert "manifest for absent:latest not found: manifest unknown" in errors

    def test_exec(self, command):
        command("run", "-d", "--name", "aa", "box", "sleep", "100")
        assert command("exec", "aa", "sh", "-c", "echo out; exit 4") == (4, "out\n", "")
        assert command("exec", "-i", "aa", "cat", input="typed") == (0, "typed", "")
        assert command("exec", "nonesuch", "true")[0] == 1

    def test_life(self, command):
        command("run", "-d", "--name", "aa", "box", "sh", "-c", "echo told; exec sleep 100")
        assert command("ps", "--format", "{{.Names}} {{.State}}") == (0, "aa running\n", "")
        for verb in ("pause", "unpause", "restart", "stop", "start", "kill"):
            assert command(verb, "aa") == (0, "aa\n", ""), verb
        assert command("wait", "aa") == (0, "137\n", "")
        assert command("rm", "aa") == (0, "aa\n", "")
        assert command("rm", "aa")[0] == 1

    def test_looking(self, command):
        assert command("images", "-q", "--no-trunc")[1] == "sha256:" + "a" * 64 + "\n"
        assert "Server Version" in command("info")[1]
        assert command("system", "df")[0] == 0
        assert command("network", "ls", "--format", "{{.Name}}") == (0, "host\nnone\n", "")
        assert command("service", "ls")[2].startswith("Error response from daemon: This node is not a swarm manager.")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestPython:
    """docker-py, which reads old and new forms."""

    @pytest.fixture(autouse=True)
    def its_own_sockets(self):
        """It leaves sockets of hijacked connections to be collected, which is to be in its own tests."""
        yield
        gc.collect()

    @pytest.fixture(params=["1.24", "1.40", "1.47"])
    def client(self, served, request):
        return served.docker(request.param)

    def test_a_container(self, client):
        made = client.create_container("box", ["sh", "-c", "echo out; exit 3"], name="aa", labels={"a": "b"})
        client.start(made)
        assert client.wait(made)["StatusCode"] == 3
        assert client.logs(made) == b"out\n"
        assert client.inspect_container("aa")["State"]["ExitCode"] == 3
        assert [each["Names"] for each in client.containers(all=True, filters={"label": "a=b"})] == [["/aa"]]
        client.remove_container("aa")
        with pytest.raises(docker.errors.NotFound):
            client.inspect_container("aa")

    def test_attached(self, client):
        made = client.create_container("box", ["cat"], stdin_open=True)
        sock = client.attach_socket(made, params={"stdin": 1, "stdout": 1, "stream": 1})
        client.start(made)
        sock._sock.sendall(b"typed\n")
        assert sock._sock.recv(100) == b"\x01\0\0\0\0\0\0\x06typed\n"
        client.kill(made)
        sock.close()

    def test_execs(self, client):
        made = client.create_container("box", ["sleep", "100"])
        client.start(made)
        session = client.exec_create(made, ["sh", "-c", "echo out; exit 7"])
        assert client.exec_start(session) == b"out\n"
        assert client.exec_inspect(session)["ExitCode"] == 7
        session = client.exec_create(made, "echo streamed")
        assert list(client.exec_start(session, stream=True)) == [b"streamed\n"]

    def test_files_and_images(self, served, client):
        made = client.create_container("box", ["true"])
        assert client.put_archive(made, "/tmp", b"x" * 100)
        served.containers.paths["/x"] = b"tar"
        chunks, stat = client.get_archive(made, "/x")
        assert (b"".join(chunks), stat["name"]) == (b"tar", "x")
        assert b"Loaded image" in b"".join(str(each).encode() for each in client.load_image(b"x"))
        assert len(b"".join(client.get_image("box"))) == 300_000

    def test_versions_are_found_out(self, served):
        client = docker.APIClient(f"unix://{served.path}", version="auto")
        served._clients.append(client)
        assert client.ping()
        assert client.info()["OSType"] == "linux"
