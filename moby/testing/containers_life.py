"""The conformance suite of the kind `containers`: making, starting, what it is told of."""

import pytest

from moby.contracts.containers import ContainerConfig, Status
from moby.contracts.networks import EndpointConfig
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.boxes import read_all
from moby.testing.containers_world import ContainersFixtures, World, close

__all__ = ["Life"]


class Life(ContainersFixtures):
    """Creating and starting."""

    # Life

    def test_run(self, world: World) -> None:
        """What it writes arrives on its own streams, and its exit code is known."""
        assert self.run(world, "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")

    def test_created(self, world: World) -> None:
        """A new one is shown as it was asked for, and hasn't run."""
        made = self.make(world, "echo hi", "one", labels={"a": "b"})
        found = world.containers.get("one")
        assert (found.id, found.name, found.state.status) == (made, "one", Status.CREATED)
        assert (found.path, found.arguments) == ("sh", ("-c", "echo hi"))
        assert found.config.labels["a"] == "b"
        assert found.state.started == ""

    def test_states(self, world: World) -> None:
        """Created, running, exited; with pid, times and exit code."""
        made = self.begin(world, "cat", open_stdin=True)
        state = world.containers.get(made).state
        assert (state.status, state.pid > 0, bool(state.started)) == (Status.RUNNING, True, True)
        assert not world.containers.start(made)
        world.containers.kill(made)
        assert self.wait(world, made).exit_code == 137
        state = world.containers.get(made).state
        assert (state.status, state.pid, state.exit_code) == (Status.EXITED, 0, 137)
        assert state.finished >= state.started

    def test_runs_again(self, world: World) -> None:
        """What it wrote to its root is still there."""
        made = self.make(world, "cat /seen; echo ran > /seen")
        self.finish(world, made)
        assert self.finish(world, made) == (0, "ran\n")

    def test_names(self, world: World) -> None:
        """By name, with a slash too, by id, and by the beginning of an id."""
        made = self.make(world, ":", "box-1")
        for name in ("box-1", "/box-1", made, made[:12], made[:4]):
            assert world.containers.get(name).id == made

    def test_unknown_name(self, world: World) -> None:
        """NotFound, in docker's words."""
        with pytest.raises(NotFound, match="No such container: nobody"):
            world.containers.get("nobody")

    def test_a_name_of_its_own(self, world: World) -> None:
        """Without one it gets an adjective and a surname."""
        names = {world.containers.get(self.make(world, ":")).name for _ in range(3)}
        assert len(names) == 3
        assert all(name.partition("_")[2] for name in names)

    def test_taken_name(self, world: World) -> None:
        """Conflict, which names the holder."""
        made = self.make(world, ":", "taken")
        with pytest.raises(Conflict, match=f'"/taken" is already in use by container "{made}"'):
            self.make(world, ":", "taken")

    @pytest.mark.parametrize("name", ["-a", "a", "a b", "ä1"])
    def test_no_name(self, world: World, name: str) -> None:
        """Invalid."""
        with pytest.raises(Invalid, match="Invalid container name"):
            self.make(world, ":", name)

    def test_rename(self, world: World) -> None:
        """The new name finds it, the old one is free."""
        made = self.make(world, ":", "old")
        other = self.make(world, ":", "other")
        world.containers.rename("old", "new")
        assert world.containers.get("new").id == made
        with pytest.raises(NotFound):
            world.containers.get("old")
        with pytest.raises(Conflict):
            world.containers.rename(other, "new")
        assert self.told(world, made)[-1].attributes["oldName"] == "/old"

    def test_its_networks(self, world: World) -> None:
        """Are shown from its creation on; it has an endpoint there while it runs alone."""
        made = self.make(world, "read x", open_stdin=True, network="none")
        [created] = world.containers.get(made).endpoints
        world.containers.start(made)
        shown = world.containers.get(made)
        [running] = shown.endpoints
        assert (created.network, running.network, bool(running.endpoint_id)) == ("none", "none", True)
        assert shown.sandbox
        world.containers.stop(made, timeout_s=0)
        ended = world.containers.get(made)
        assert (ended.endpoints[0].endpoint_id, ended.sandbox, ended.ports) == ("", "", ())

    def test_the_network_of_who_is_not_there_yet(self, world: World) -> None:
        """Can be asked for; a start says who is missing or doesn't run, and goes well later."""
        made = self.make(world, ":", network="container:later")
        with pytest.raises(NotFound, match="No such container: later"):
            world.containers.start(made)
        self.make(world, "read x", "later", open_stdin=True, hostname="here")
        with pytest.raises(Conflict, match="cannot join network of a non running container: later"):
            world.containers.start(made)
        world.containers.start("later")
        assert world.containers.start(made)
        assert world.containers.get(made).config.hostname == "here"

    def test_connect_and_disconnect(self, world: World) -> None:
        """Change where it is from its next start on; networks that aren't there, or take nobody later, are refused."""
        made = self.make(world, "read x", open_stdin=True, network="none")
        with pytest.raises(NotFound, match="nonesuch"):
            world.containers.connect(made, "nonesuch", EndpointConfig())
        with pytest.raises(Unsupported, match="or connected to host network"):
            world.containers.connect(made, "host", EndpointConfig())
        world.containers.connect(made, "none", EndpointConfig())
        assert [each.network for each in world.containers.get(made).endpoints] == ["none"]
        world.containers.disconnect(made, "none")
        assert world.containers.get(made).endpoints == ()
        with pytest.raises(NotFound, match="is not connected to the network none"):
            world.containers.disconnect(made, "none")
        world.containers.start(made)
        assert world.containers.get(made).endpoints == ()
        other = self.begin(world, "read x", open_stdin=True, network="none")
        world.containers.disconnect(other, "none")
        assert world.containers.get(other).endpoints == ()
        with pytest.raises(NotFound, match="is not connected to network none"):
            world.containers.disconnect(other, "none", force=True)

    def test_list(self, world: World) -> None:
        """All of them, the newest first."""
        made = [self.make(world, ":") for _ in range(3)]
        assert [each.id for each in world.containers.list()] == made[::-1]

    def test_unknown_image(self, world: World) -> None:
        """NotFound, in docker's words, and the name stays free."""
        with pytest.raises(NotFound, match="No such image"):
            world.containers.create(ContainerConfig("absent:1"), "free")
        self.make(world, ":", "free")

    @pytest.mark.parametrize(
        ("program", "words", "code"),
        [
            ("nothing", "executable file not found", 127),
            ("/no/such", "no such file or directory", 127),
            ("/etc/passwd", "permission denied", 126),
        ],
    )
    def test_no_program(self, world: World, program: str, words: str, code: int) -> None:
        """Invalid with docker's words, the exit code is a shell's, and it can be tried again."""
        made = world.containers.create(ContainerConfig(world.image, command=(program,))).id
        with pytest.raises(Invalid, match=words) as caught:
            world.containers.start(made)
        assert isinstance(caught.value.__cause__, OSError)
        state = world.containers.get(made).state
        assert (state.status, state.exit_code, words in state.error) == (Status.CREATED, code, True)
        with pytest.raises(Invalid, match=words):
            world.containers.start(made)

    def test_attached_before_a_start_that_fails(self, world: World) -> None:
        """The streams end with the start."""
        made = world.containers.create(ContainerConfig(world.image, command=("nothing",))).id
        streams = world.containers.attach(made)
        with pytest.raises(Invalid):
            world.containers.start(made)
        assert read_all(streams.stdout) == ""
        close(streams)
