"""The conformance suite of the kind `orchestrator`: secrets, configs, nodes and clusters."""

import pytest

from moby.contracts.orchestrator import (
    Availability,
    ClusterSpec,
    ConfigSpec,
    FileReference,
    NodeState,
    OrchestratorFeature,
    Role,
    SecretSpec,
    TaskState,
)
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.testing.orchestrator_world import OrchestratorFixtures, World, eventually
from moby.values import evolve

__all__ = ["Shared"]


class Shared(OrchestratorFixtures):
    """What services share, and what they run on."""

    @pytest.fixture(autouse=True)
    def nothing_shared(self, world: World, nothing_left: None) -> object:
        """Remove secrets and configs that a test left, after its services."""
        yield
        if OrchestratorFeature.SECRETS in world.features:
            self.clear(world, {each.id for each in world.containers.list()})
            for secret in world.orchestrator.secrets():
                world.orchestrator.remove_secret(secret.id)
            for config in world.orchestrator.configs():
                world.orchestrator.remove_config(config.id)

    def test_secrets(self, world: World) -> None:
        """Are found by name and id, listed by name, and show no data."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        made = orchestrator.create_secret(SecretSpec("key", b"sesame", {"a": "b"}))
        orchestrator.create_secret(SecretSpec("a-key", b"x"))
        assert (made.name, made.labels) == ("key", {"a": "b"})
        assert orchestrator.secret("key") == orchestrator.secret(made.id) == made
        assert [each.name for each in orchestrator.secrets()] == ["a-key", "key"]
        assert "sesame" not in repr(orchestrator.secrets())
        self.refused(Conflict, "key", orchestrator.create_secret, SecretSpec("key", b"y"))
        orchestrator.remove_secret("key")
        self.refused(NotFound, "secret key not found", orchestrator.secret, "key")
        self.refused(NotFound, "secret key not found", orchestrator.remove_secret, "key")

    def test_configs(self, world: World) -> None:
        """The same, and show their data."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        made = orchestrator.create_config(ConfigSpec("text", b"data", {"a": "b"}))
        assert (made.spec.data, orchestrator.config("text"), orchestrator.config(made.id)) == (b"data", made, made)
        assert [each.spec.name for each in orchestrator.configs()] == ["text"]
        self.refused(Conflict, "text", orchestrator.create_config, ConfigSpec("text", b"y"))
        orchestrator.remove_config("text")
        self.refused(NotFound, "config text not found", orchestrator.config, "text")
        self.refused(NotFound, "config text not found", orchestrator.remove_config, "text")

    def test_labels_of_them(self, world: World) -> None:
        """Change, and nothing else of them; by the present version alone."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        secret = orchestrator.create_secret(SecretSpec("key", b"x"))
        found = orchestrator.label_secret("key", {"a": "1"}, secret.version)
        assert (found.id, found.labels, found.version > secret.version) == (secret.id, {"a": "1"}, True)
        self.refused(Conflict, "update out of sequence", orchestrator.label_secret, "key", {}, secret.version)
        config = orchestrator.create_config(ConfigSpec("text", b"x"))
        changed = orchestrator.label_config("text", {"a": "1"}, config.version)
        assert (changed.id, changed.spec.labels, changed.spec.data) == (config.id, {"a": "1"}, b"x")
        self.refused(Conflict, "update out of sequence", orchestrator.label_config, "text", {}, config.version)

    def test_a_secret_that_is_handed_in_again(self, world: World) -> None:
        """Is the same, or Invalid, and then nothing is changed."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        orchestrator.create_secret(SecretSpec("key", b"sesame"))
        orchestrator.label_secret("key", {"a": "1"}, data=b"sesame")
        words = "only updates to Labels are allowed"
        self.refused(Invalid, words, orchestrator.label_secret, "key", {"a": "2"}, data=b"another")
        assert orchestrator.secret("key").labels == {"a": "1"}

    def test_data_that_can_t_be(self, world: World) -> None:
        """None, and too much: Invalid."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        for data in (b"", b"x" * (500 * 1024 + 1)):
            self.refused(Invalid, "", orchestrator.create_secret, SecretSpec("key", data))
        self.refused(Invalid, "", orchestrator.create_config, ConfigSpec("text", b"x" * (1000 * 1024 + 1)))
        self.refused(Invalid, "name", orchestrator.create_secret, SecretSpec("no name", b"x"))
        assert (orchestrator.secrets(), orchestrator.configs()) == ((), ())

    def test_in_use(self, world: World) -> None:
        """Conflict names the services that use it; NotFound for a service of one that isn't there."""
        self.offers(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        orchestrator.create_secret(SecretSpec("key", b"x"))
        orchestrator.create_config(ConfigSpec("text", b"x"))
        secrets, configs = (FileReference("key", "key"),), (FileReference("text", "/t"),)
        orchestrator.create(self.spec(world, "web", replicas=0, secrets=secrets, configs=configs))
        self.refused(Conflict, "web", orchestrator.remove_secret, "key")
        self.refused(Conflict, "web", orchestrator.remove_config, "text")
        lost = self.spec(world, "api", secrets=(FileReference("nonesuch", "x"),))
        self.refused(NotFound, "nonesuch", orchestrator.create, lost)

    def test_secrets_are_lacking(self, world: World) -> None:
        """Unsupported, all of them."""
        self.lacks(world, OrchestratorFeature.SECRETS)
        orchestrator = world.orchestrator
        for call, given in (
            (orchestrator.create_secret, (SecretSpec("key", b"x"),)),
            (orchestrator.secret, ("key",)),
            (orchestrator.secrets, ()),
            (orchestrator.label_secret, ("key", {})),
            (orchestrator.remove_secret, ("key",)),
            (orchestrator.create_config, (ConfigSpec("key", b"x"),)),
            (orchestrator.config, ("key",)),
            (orchestrator.configs, ()),
            (orchestrator.label_config, ("key", {})),
            (orchestrator.remove_config, ("key",)),
        ):
            self.refused(Unsupported, "", call, *given)

    def test_this_node(self, world: World) -> None:
        """Is there, ready, and found by id, by hostname and as `self`."""
        orchestrator = world.orchestrator
        node = orchestrator.node("self")
        assert node in orchestrator.nodes()
        assert (node.state, node.spec.availability) == (NodeState.READY, Availability.ACTIVE)
        assert node.description.nano_cpus > 0
        assert node.description.memory_bytes > 0
        assert node.description.platform.os == "linux"
        assert orchestrator.node(node.id).id == orchestrator.node(node.description.hostname).id == node.id

    def test_draining_a_node(self, world: World) -> None:
        """Its tasks end, and run again once it is active."""
        self.offers(world, OrchestratorFeature.NODES)
        orchestrator = world.orchestrator
        self.begin(world, "web")
        spec = orchestrator.node("self").spec
        drained = orchestrator.update_node("self", evolve(spec, availability=Availability.DRAIN, labels={"a": "b"}))
        assert drained.spec.labels == {"a": "b"}

        def is_drained() -> bool:
            pending = any(each.status.state is TaskState.PENDING for each in orchestrator.tasks("web"))
            return pending and not any(each.state.pid for each in self.of(world, "web"))

        eventually(is_drained, "it is drained")
        orchestrator.update_node("self", evolve(spec, availability=Availability.ACTIVE))
        self.running(world, "web", 1)

    def test_a_node_that_must_stay(self, world: World) -> None:
        """Conflict where the last manager would go, or be none."""
        self.offers(world, OrchestratorFeature.NODES)
        orchestrator = world.orchestrator
        spec = orchestrator.node("self").spec
        self.refused(Conflict, "", orchestrator.update_node, "self", evolve(spec, role=Role.WORKER))
        self.refused(Conflict, "", orchestrator.remove_node, "self")
        self.refused(NotFound, "node nobody not found", orchestrator.update_node, "nobody", spec)
        self.refused(Conflict, "update out of sequence", orchestrator.update_node, "self", spec, 0)

    def test_nodes_are_lacking(self, world: World) -> None:
        """Unsupported to change them."""
        self.lacks(world, OrchestratorFeature.NODES)
        orchestrator = world.orchestrator
        assert len(orchestrator.nodes()) == 1
        self.refused(Unsupported, "", orchestrator.update_node, "self", orchestrator.node("self").spec)
        self.refused(Unsupported, "", orchestrator.remove_node, "self", force=True)

    def test_clusters_are_lacking(self, world: World) -> None:
        """Unsupported."""
        self.lacks(world, OrchestratorFeature.CLUSTER)
        self.refused(Unsupported, "", world.orchestrator.cluster)

    def test_cluster(self, world: World) -> None:
        """This machine is a part of it, can't be of another, and shows its tokens to no text."""
        self.offers(world, OrchestratorFeature.CLUSTER)
        cluster = world.orchestrator.cluster()
        state = cluster.state()
        assert state is not None
        assert (state.manager, state.locked, state.node_id) == (True, False, world.orchestrator.node("self").id)
        assert state.tokens is not None
        assert state.tokens.worker.startswith("SWMTKN-1-")
        assert state.tokens.worker != state.tokens.manager
        assert state.tokens.worker not in repr(state)
        self.refused(Conflict, "", cluster.create, ClusterSpec())
        self.refused(Conflict, "", cluster.join, ("192.0.2.1:2377",), state.tokens.worker)
        self.refused(Conflict, "", cluster.leave)

    def test_settling_a_cluster(self, world: World) -> None:
        """By the present version alone; tokens change where that is asked for, and only those."""
        self.offers(world, OrchestratorFeature.CLUSTER)
        cluster = world.orchestrator.cluster()
        before = cluster.state()
        assert before is not None
        assert before.tokens is not None
        cluster.update(evolve(before.spec, labels={"a": "b"}), before.version, rotate=frozenset({"worker"}))
        after = cluster.state()
        assert after is not None
        assert after.tokens is not None
        assert (after.spec.labels, after.version > before.version) == ({"a": "b"}, True)
        assert after.tokens.worker != before.tokens.worker
        assert after.tokens.manager == before.tokens.manager
        self.refused(Conflict, "update out of sequence", cluster.update, before.spec, before.version)

    def test_locks(self, world: World) -> None:
        """A key is there where managers are locked, and another one where that is asked for."""
        self.offers(world, OrchestratorFeature.CLUSTER)
        cluster = world.orchestrator.cluster()
        state = cluster.state()
        assert state is not None
        assert cluster.unlock_key() == ""
        self.refused(Conflict, "", cluster.unlock, "SWMKEY-1-nonesuch")
        cluster.update(evolve(state.spec, autolock=True), state.version)
        key = cluster.unlock_key()
        assert key.startswith("SWMKEY-1-")
        state = cluster.state()
        assert state is not None
        cluster.update(state.spec, state.version, rotate=frozenset({"unlock"}))
        assert cluster.unlock_key() not in ("", key)
        state = cluster.state()
        assert state is not None
        cluster.update(evolve(state.spec, autolock=False), state.version)
        assert cluster.unlock_key() == ""

    def test_a_locked_manager(self, world: World) -> None:
        """Answers Unavailable once the engine has begun anew, until it is given its key."""
        self.offers(world, OrchestratorFeature.CLUSTER)
        self.begin(world, "web")
        cluster = world.orchestrator.cluster()
        state = cluster.state()
        assert state is not None
        cluster.update(evolve(state.spec, autolock=True), state.version)
        key = cluster.unlock_key()
        self.again(world)
        found = world.orchestrator.cluster().state()
        assert found is not None
        assert found.locked
        self.refused(Unavailable, "", world.orchestrator.services)
        self.refused(Denied, "", world.orchestrator.cluster().unlock, f"{key}x")
        world.orchestrator.cluster().unlock(key)
        self.running(world, "web", 1)
        state = world.orchestrator.cluster().state()
        assert state is not None
        world.orchestrator.cluster().update(evolve(state.spec, autolock=False), state.version)

    def test_leaving(self, world: World) -> None:
        """Ends all tasks here; from then on it is Unavailable, until another one is begun."""
        self.offers(world, OrchestratorFeature.CLUSTER)
        self.begin(world, "web")
        [task] = self.running(world, "web", 1)
        cluster = world.orchestrator.cluster()
        cluster.leave(force=True)
        assert cluster.state() is None
        self.refused(Unavailable, "", world.orchestrator.services)
        self.refused(Unavailable, "", world.orchestrator.create, self.spec(world, "web"))
        self.refused(Unavailable, "", cluster.leave, force=True)

        def has_ended() -> bool:
            return task.status.container_id not in [each.id for each in world.containers.list() if each.state.pid]

        eventually(has_ended, "its tasks end")
        cluster.create(ClusterSpec())
        assert world.orchestrator.services() == ()
