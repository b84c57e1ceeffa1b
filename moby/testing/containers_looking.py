"""The conformance suite of the kind `containers`: looking at them, and their files."""

import io
import os
import tarfile

import pytest

from moby.contracts.containers import ContainerUpdate, MountRequest, Resources, RestartPolicy
from moby.contracts.supervisor import Health, HealthCheck, HealthStatus
from moby.errors import Conflict, Denied, Invalid, NotFound
from moby.testing.containers_world import ContainersFixtures, World, archive, close, eventually

__all__ = ["Looking"]


class Looking(ContainersFixtures):
    """What is shown, and files copied in and out."""

    # Looking

    def test_top(self, world: World) -> None:
        """Its processes, as ps lists them."""
        made = self.begin(world, "sleep 1000; :")
        titles, rows = eventually(
            lambda: (found := world.containers.top(made)) and len(found[1]) == 2 and found, "both processes are there"
        )
        assert "PID" in titles
        assert any("sleep 1000" in row[-1] for row in rows)
        titles, rows = world.containers.top(made, "-o pid,comm")
        assert titles == ("PID", "COMMAND")
        assert {row[1] for row in rows} == {"sh", "sleep"}

    def test_stats(self, world: World) -> None:
        """What it uses while it runs; nothing afterwards."""
        made = self.begin(world, "cat", open_stdin=True)
        found = world.containers.stats(made)
        assert found is not None
        assert found.pids
        world.containers.kill(made)
        self.wait(world, made)
        assert world.containers.stats(made) is None

    def test_health(self, world: World) -> None:
        """It becomes healthy, and then unwell."""
        check = HealthCheck(("CMD-SHELL", "cat /well"), interval_ns=50_000_000, retries=2)
        made = self.begin(world, "echo yes > /well; read a; rm /well; cat", open_stdin=True, health=check)

        def is_(status: HealthStatus) -> bool:
            health = world.containers.get(made).state.health
            return health is not None and health.status is status

        eventually(lambda: is_(HealthStatus.HEALTHY), "it is healthy")
        streams = world.containers.attach(made)
        os.write(streams.stdin, b"\n")
        eventually(lambda: is_(HealthStatus.UNHEALTHY), "it is unhealthy")
        close(streams)
        eventually(lambda: "health_status: unhealthy" in self.actions(world, made), "it is told")
        assert "health_status: healthy" in self.actions(world, made)

    def test_health_of_the_paused(self, world: World) -> None:
        """What is paused isn't well, which no event tells; that it is well again one does."""
        check = HealthCheck(("CMD-SHELL", "true"), interval_ns=50_000_000)
        made = self.begin(world, "read a", open_stdin=True, health=check)

        def found() -> HealthStatus:
            (listed,) = (each for each in world.containers.list() if each.id == made)
            assert listed.state.health is not None
            return listed.state.health.status

        eventually(lambda: found() is HealthStatus.HEALTHY, "it is healthy")
        world.containers.pause(made)
        assert found() is HealthStatus.UNHEALTHY
        world.containers.unpause(made)
        eventually(lambda: found() is HealthStatus.HEALTHY, "it is healthy again")
        told = [each for each in self.actions(world, made) if each.startswith(("health", "pause", "unpause"))]
        assert told == ["health_status: healthy", "pause", "unpause", "health_status: healthy"]

    def test_health_after_the_end(self, world: World) -> None:
        """What was well isn't any more, which no event tells; the next start begins again, and keeps the results."""
        check = HealthCheck(("CMD-SHELL", "true"), interval_ns=200_000_000)
        made = self.begin(world, "read a", open_stdin=True, health=check)

        def found() -> Health:
            health = world.containers.get(made).state.health
            assert health is not None
            return health

        eventually(lambda: found().status is HealthStatus.HEALTHY, "it is healthy")
        world.containers.kill(made)
        self.wait(world, made)
        assert found().status is HealthStatus.UNHEALTHY
        assert found().failing_streak == 0
        last = found().results[-1]
        assert last.code == 0
        assert "health_status: unhealthy" not in self.actions(world, made)
        world.containers.start(made)
        assert last in found().results
        eventually(lambda: found().status is HealthStatus.HEALTHY, "it is healthy again")

    def test_update(self, world: World) -> None:
        """Limits change at once, and what isn't named stays."""
        made = self.begin(world, "cat", open_stdin=True, resources=Resources(memory_bytes=64 << 20))
        world.containers.update(made, ContainerUpdate({"pids_limit": 17}, RestartPolicy("always")))
        config = world.containers.get(made).config
        assert (config.resources.pids_limit, config.resources.memory_bytes) == (17, 64 << 20)
        assert config.restart.name == "always"
        found = world.containers.stats(made)
        assert found is not None
        assert found.pids_limit == 17
        with pytest.raises(Invalid, match="Minimum memory limit"):
            world.containers.update(made, ContainerUpdate({"memory_bytes": 1}))
        world.containers.update(made, ContainerUpdate({"nano_cpus": 500_000_000}))
        with pytest.raises(Conflict, match="CPU Period cannot be updated as NanoCPUs has already been set"):
            world.containers.update(made, ContainerUpdate({"cpu_period_us": 5000}))

    def test_event_attributes(self, world: World) -> None:
        """Labels, image and name; at the end exit code and how long it ran."""
        made = self.make(world, "exit 3", "told", labels={"l": "v"})
        self.finish(world, made)
        events = self.told(world, made)
        assert [each.action for each in events] == ["create", "attach", "start", "die"]
        for each in events:
            assert {"l": "v", "image": world.image, "name": "told"}.items() <= each.attributes.items()
        assert events[-1].attributes["exitCode"] == "3"
        assert events[-1].attributes["execDuration"].isdigit()

    # Files

    @pytest.mark.parametrize("running", [False, True])
    def test_copy(self, world: World, running: bool) -> None:
        """In and out, through volumes and binds too, whether it runs or not."""
        made = self.make(world, "cat", open_stdin=True, volumes=("/data",))
        if running:
            world.containers.start(made)
        for folder in ("/etc", "/data"):
            world.containers.write_path(made, folder, archive(("f", b"hello")))
            found = world.containers.stat_path(made, f"{folder}/f")
            assert (found.name, found.size) == ("f", 5)
            data = b"".join(world.containers.read_path(made, f"{folder}/f"))
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                assert tar.getnames() == ["f"]
                member = tar.extractfile("f")
                assert member is not None
                assert member.read() == b"hello"
        if running:
            assert self.exec(world, made, "cat", "/data/f") == (0, "hello")

    def test_copy_of_a_folder(self, world: World) -> None:
        """Under its last name."""
        made = self.make(world, ":")
        world.containers.write_path(made, "/etc", archive(("d/x", b"1"), ("d/y", b"2")))
        data = b"".join(world.containers.read_path(made, "/etc/d"))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert sorted(tar.getnames()) == ["d", "d/x", "d/y"]

    def test_no_such_path(self, world: World) -> None:
        """NotFound, in docker's words."""
        made = self.make(world, ":", "here")
        for call in (world.containers.stat_path, world.containers.read_path):
            with pytest.raises(NotFound, match="Could not find the file /none in container here"):
                call(made, "/none")
        with pytest.raises(Invalid, match="not a directory"):
            world.containers.write_path(made, "/etc/passwd", archive(("a", b"")))

    def test_links_stay_inside(self, world: World) -> None:
        """A link to the outside is one to the inside."""
        script = "ln -s / /etc/up; ln -s ../../../../../../../../etc /etc/far"
        made = self.make(world, script)
        self.finish(world, made)
        world.containers.write_path(made, "/etc/up/etc", archive(("mark", b"inside")))
        assert world.containers.stat_path(made, "/etc/far/mark").size == 6
        assert world.containers.stat_path(made, "/etc/up").link_target == "/"
        assert not os.path.exists("/etc/mark")  # noqa: PTH110

    def test_read_only(self, world: World) -> None:
        """Denied."""
        made = self.make(world, ":", read_only_root=True, mounts=(MountRequest("volume", "/v", "vol", read_only=True),))
        with pytest.raises(Denied, match="container rootfs is marked read-only"):
            world.containers.write_path(made, "/etc", archive(("a", b"")))
        with pytest.raises(Denied, match="mounted volume is marked read-only"):
            world.containers.write_path(made, "/v", archive(("a", b"")))
