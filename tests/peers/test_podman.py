"""What podman alone does, with our runtime: pods, checks of health, mappings of ids."""

import pytest
from peers.engines import choices, command_of
from peers.sandbox import TEMPORARY

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("podman"), indirect=True, scope="module"),
]


class TestPods:
    def test_containers_share_what_the_pod_says(self, engine):
        engine("pod", "create", "--name", "pod", "--network=none", "--share", "ipc,net,uts", "--hostname", "podded")
        run = ("run", "-d", "--pod", "pod", "--name")
        engine(*run, "one", "localhost/box", "sleep", "1000")
        engine(*run, "two", "localhost/box", "sleep", "1000")
        for name, same in {"net": True, "ipc": True, "uts": True, "pid": False, "mnt": False}.items():
            one, two = (engine.out("exec", each, "readlink", f"/proc/self/ns/{name}") for each in ("one", "two"))
            assert (one == two) is same, name
        assert engine.out("exec", "two", "hostname") == "podded"
        engine("pod", "pause", "pod")
        assert engine.inspect("one", ".State.Status") == "paused"
        engine("pod", "unpause", "pod")
        number = engine.out("pod", "inspect", "--format", "{{.ID}}", "pod")
        engine("pod", "rm", "-f", "-t", "0", "pod")
        # Podman removes the pod's own group in the trees that it knows.
        for tree in ("systemd", "unified"):
            engine.sandbox.run("rmdir", f"/sys/fs/cgroup/{tree}/libpod_parent/{number}", check=False)


class TestHealth:
    def test_it_is_checked_when_asked(self, engine):
        options = ["--health-cmd", "test -e /tmp/well", "--health-retries", "1", "--health-interval", "disable"]
        name = engine.up(options=options)
        assert engine("healthcheck", "run", name, check=False).returncode == 1
        engine("exec", name, "touch", "/tmp/well")
        assert engine("healthcheck", "run", name, check=False).returncode == 0


class TestIds:
    def test_mapped_by_hand(self, engine):
        options = ["--uidmap", "0:200000:1000", "--uidmap", "1000:300000:1000", "--gidmap", "0:200000:2000"]
        script = "cat /proc/self/uid_map; stat -c %u:%g /bin/sh; touch /file && echo written"
        text = engine.said("sh", "-c", script, options=options).split()
        assert text == ["0", "200000", "1000", "1000", "300000", "1000", "0:0", "written"]

    def test_by_itself(self, engine):
        for file in ("/etc/subuid", "/etc/subgid"):
            engine.sandbox.run("tee", file, input="containers:500000:200000\n")
        first = engine.said("cat", "/proc/self/uid_map", options=["--userns=auto:size=2000"]).split()
        assert (first[0], first[2]) == ("0", "2000")
        assert 500000 <= int(first[1]) < 700000

    def test_users_inside(self, engine):
        options = ["--uidmap", "0:200000:2000", "--gidmap", "0:200000:3000", "--user", "1000:1000"]
        assert engine.said("id", options=[*options, "-t"]).startswith("uid=1000(user) gid=1000(user)")
        name = engine.up(options=options)
        assert engine.out("exec", "-u", "0", name, "sh", "-c", "id -u; cat /proc/self/gid_map").split() == [
            "0", "0", "200000", "3000",
        ]  # fmt: skip


class TestOther:
    def test_more_descriptors(self, engine):
        script = "podman --cgroup-manager=cgroupfs --runtime=$0 run --rm --network=none --preserve-fds=2 localhost/box"
        script += " sh -c 'cat <&3; cat <&4' 3</etc/hostname 4</etc/debian_version"
        done = engine.sandbox.run("sh", "-c", script, command_of(engine.runtime))
        host = engine.sandbox.run("cat", "/etc/hostname", "/etc/debian_version")
        assert done.stdout == host.stdout

    def test_device_hooks_and_annotations(self, engine):
        folder = TEMPORARY
        engine.sandbox.run("mkdir", "-p", folder / "hooks")
        engine.sandbox.run(
            "tee", folder / "hooks" / "hook.json",
            input='{"version": "1.0.0", "hook": {"path": "/usr/bin/tee", "args": ["tee", "%s"]},'
            ' "when": {"annotations": {"^wanted$": "yes"}}, "stages": ["createRuntime", "poststop"]}'
            % (folder / "told"),
        )  # fmt: skip
        options = ["--hooks-dir", str(folder / "hooks")]
        name = engine.fresh()
        engine(*options, "run", "--network=none", "--name", name, "--annotation", "wanted=yes", "localhost/box", "true")
        engine(*options, "rm", name)
        assert '"status":"stopped"' in engine.sandbox.run("cat", folder / "told").stdout.replace(" ", "")
