"""What dockerd alone does, with our runtime: checks of health, remapped users, containers that outlive their daemon."""

import pytest
from peers.engines import choices, opened
from peers.sandbox import until

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("docker"), indirect=True, scope="module"),
]


def test_health_is_checked(engine):
    options = [
        "--health-cmd", "test -e /tmp/well", "--health-interval", "300ms", "--health-retries", "1",
        "--health-start-interval", "300ms",
    ]  # fmt: skip
    name = engine.up(options=options)
    engine.wait_for(name, ".State.Health.Status", "unhealthy")
    assert engine.inspect(name, "(index .State.Health.Log 0).ExitCode") == 1
    engine("exec", name, "touch", "/tmp/well")
    engine.wait_for(name, ".State.Health.Status", "healthy")


def test_the_error_stays_in_the_description(engine):
    name = engine.fresh()
    engine("create", "--network=none", "--name", name, "localhost/box", "nonesuch")
    assert engine("start", name, check=False).returncode != 0
    assert engine.inspect(name, ".State.Running") is False
    assert engine.inspect(name, ".State.ExitCode") == 127
    assert "nonesuch" in engine.inspect(name, ".State.Error")


def test_a_runtime_of_ones_choice(engine):
    told = engine.out("info", "--format", "{{.DefaultRuntime}}")
    assert told == engine.runtime
    name = engine.up(options=["--runtime", "runc"])
    assert engine.inspect(name, ".HostConfig.Runtime") == "runc"
    assert engine.inspect(engine.up(), ".HostConfig.Runtime") == engine.runtime


def test_a_group_above(engine):
    name = engine.up(options=["--cgroup-parent", "/docker/above"])
    found = [each for each in engine.sandbox.control_groups() if each.startswith(("memory:", "unified:"))]
    number = engine.inspect(name, ".Id")
    assert any(each.endswith(f"docker/above/{number}") for each in engine.sandbox.control_groups()), found
    engine.remove(name)
    engine.sandbox.run("sh", "-c", "rmdir /sys/fs/cgroup/*/docker/above")


def test_changes_are_kept_in_an_image(engine):
    name = engine.start("sh", "-c", "echo kept >/file")
    engine.wait_for(name, ".State.Running", False)
    engine("commit", name, "localhost/changed")
    assert engine.said("cat", "/file", image="localhost/changed") == "kept"
    engine.remove(name)
    engine("rmi", "localhost/changed")


class TestOwnDaemon:
    """Daemons with other options, for one test each."""

    @pytest.fixture
    def folder(self, tmp_path_factory):
        return tmp_path_factory.mktemp("docker")

    def test_users_are_remapped(self, engine, folder, image):
        prepare = (
            "echo peer:x:1000:1000::/:/bin/sh >>/etc/passwd; echo peer:x:1000: >>/etc/group;"
            "echo peer:100000:65536 >/etc/subuid; echo peer:100000:65536 >/etc/subgid"
        )
        options = ("--userns-remap=peer",)
        with opened("docker", engine.runtime, folder, image, options=options, prepare=prepare) as remapped:
            script = "cat /proc/self/uid_map; id -u; touch /file && stat -c %u /file"
            assert remapped.said("sh", "-c", script).split() == ["0", "100000", "65536", "0", "0"]
            name = remapped.up()
            assert remapped.out("exec", name, "sh", "-c", "id -u; cat /proc/self/gid_map").split() == [
                "0", "0", "100000", "65536",
            ]  # fmt: skip
            pid = remapped.inspect(name, ".State.Pid")
            assert remapped.sandbox.run("stat", "-c", "%u", f"/proc/{pid}").stdout == "100000\n"
            assert remapped.said("tty", options=["-t", "--user", "1000"]) == "/dev/pts/0"
            remapped.remove(name)

    def test_containers_outlive_their_daemon(self, engine, folder, image):
        with opened("docker", engine.runtime, folder, image, options=("--live-restore",)) as restored:
            name = restored.start("sh", "-c", "trap 'exit 8' TERM; while :; do echo x; sleep 0.1; done")
            until(lambda: restored.out("logs", name), "its output")
            pid = restored.inspect(name, ".State.Pid")
            restored.again()
            assert restored.inspect(name, ".State.Pid") == pid
            assert restored.out("exec", name, "echo", "still here") == "still here"
            restored("stop", "-t", "60", name)
            assert restored.inspect(name, ".State.ExitCode") == 8
