"""The conformance suite of the kind `orchestrator`: applications, what they share, following and logs."""

import contextlib
import os
import select
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from moby.contracts.log_driver import LogQuery
from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import (
    Application,
    Change,
    Condition,
    ConfigSpec,
    Dependency,
    FileReference,
    NetworkSpec,
    OrchestratorFeature,
    Outcome,
    Restart,
    RestartCondition,
    SecretSpec,
    TaskState,
    VolumeSpec,
)
from moby.contracts.supervisor import HealthCheck
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.orchestrator_world import FOREVER, SECOND_NS, OrchestratorFixtures, World, eventually, network
from moby.values import evolve

if TYPE_CHECKING:
    from moby.contracts.events import Event

__all__ = ["Applications"]

_ONCE = Restart(RestartCondition.NONE)


class Applications(OrchestratorFixtures):
    """Services that belong together."""

    def part(self, world: World, name: str, script: str = FOREVER, **more: Any) -> Any:
        """Return a service of the application `shop`."""
        return self.spec(world, f"shop_{name}", script, application="shop", **more)

    def test_apply(self, world: World) -> None:
        """All that is missing is made, networks and volumes first; what is there then is the application's."""
        web = self.part(world, "web", networks={"shop_net": EndpointConfig(aliases=("web",))})
        shop = Application(
            "shop",
            (web, self.part(world, "api")),
            (NetworkSpec(network(world, "shop_net")),),
            (VolumeSpec("shop_vol"),),
        )
        applied = self.up(world, shop)
        made = {(each.type, each.name) for each in applied.changes}
        assert made == {
            ("network", "shop_net"),
            ("volume", "shop_vol"),
            ("service", "shop_web"),
            ("service", "shop_api"),
        }
        assert {each.outcome for each in applied.changes} == {Outcome.CREATED}
        assert [each.type for each in applied.changes][-2:] == ["service", "service"]
        assert world.orchestrator.applications() == ("shop",)
        assert [each.spec.name for each in world.orchestrator.services("shop")] == ["shop_api", "shop_web"]
        assert world.networks.get("shop_net").name == "shop_net"
        assert world.volumes.get("shop_vol").name == "shop_vol"
        [task] = self.running(world, "shop_web", 1)
        assert "shop_net" in {each.network for each in self.container(world, task).endpoints}

    def test_apply_again(self, world: World) -> None:
        """Does nothing; of what changed, only that is done."""
        shop = Application("shop", (self.part(world, "api"), self.part(world, "web")))
        self.up(world, shop)
        before = {name: self.running(world, name, 1)[0] for name in ("shop_api", "shop_web")}
        applied = world.orchestrator.apply(shop)
        assert {(each.name, each.outcome) for each in applied.changes} == {
            ("shop_api", Outcome.UNCHANGED),
            ("shop_web", Outcome.UNCHANGED),
        }
        changed = self.part(world, "web", config={"environment": ("V=2",)})
        applied = self.up(world, evolve(shop, services=(shop.services[0], changed)))
        assert Change("service", "shop_web", Outcome.UPDATED) in applied.changes
        after = {name: self.running(world, name, 1)[0] for name in ("shop_api", "shop_web")}
        kept = [name for name in before if before[name].status.container_id == after[name].status.container_id]
        assert kept == ["shop_api"]

    def test_orphans(self, world: World) -> None:
        """Are told of and left, or removed where that is asked for."""
        shop = Application("shop", (self.part(world, "api"), self.part(world, "web")))
        self.up(world, shop)
        less = evolve(shop, services=shop.services[1:])
        assert world.orchestrator.apply(less).orphans == ("shop_api",)
        self.running(world, "shop_api", 1)
        applied = world.orchestrator.apply(less, prune=True)
        assert (Change("service", "shop_api", Outcome.REMOVED) in applied.changes, applied.orphans) == (True, ())
        eventually(lambda: [each.spec.name for each in world.orchestrator.services("shop")] == ["shop_web"], "it goes")

    def test_what_must_be_there(self, world: World) -> None:
        """NotFound for external networks and volumes that aren't; those that are stay in the end."""
        orchestrator = world.orchestrator
        there = VolumeSpec("of-others", external=True)
        shop = Application("shop", (self.part(world, "web", replicas=0),), volumes=(there,))
        self.refused(NotFound, "of-others", orchestrator.apply, shop)
        lost = evolve(shop, volumes=(), networks=(NetworkSpec(network(world, "nonesuch"), external=True),))
        self.refused(NotFound, "nonesuch", orchestrator.apply, lost)
        world.volumes.create("of-others")
        orchestrator.apply(shop)
        orchestrator.remove_application("shop", volumes=True)
        assert world.volumes.get("of-others").name == "of-others"
        world.volumes.remove("of-others")

    def test_removing_one(self, world: World) -> None:
        """All that is its own goes, volumes where that is asked for; of none there is nothing to remove."""
        orchestrator = world.orchestrator
        shop = Application(
            "shop", (self.part(world, "web"),), (NetworkSpec(network(world, "shop_net")),), (VolumeSpec("shop_vol"),)
        )
        self.up(world, shop)
        self.begin(world, "other")
        changes = orchestrator.remove_application("shop")
        assert Change("service", "shop_web", Outcome.REMOVED) in changes
        assert {each.outcome for each in changes} == {Outcome.REMOVED}
        assert "volume" not in {each.type for each in changes}
        eventually(lambda: not orchestrator.services("shop"), "its services go")
        eventually(lambda: self.without(world, "shop_net"), "its network goes")
        assert world.volumes.get("shop_vol").name == "shop_vol"
        orchestrator.remove_application("shop", volumes=True)
        assert "shop_vol" not in {each.name for each in world.volumes.list()}
        assert orchestrator.remove_application("shop", volumes=True) == ()
        assert orchestrator.applications() == ()
        self.running(world, "other", 1)

    def without(self, world: World, name: str) -> bool:
        """Whether a network isn't there any more."""
        return name not in {each.name for each in world.networks.list()}

    def test_every_problem(self, world: World) -> None:
        """Invalid with all that is wrong, and nothing is begun."""
        bad = (self.part(world, "a", replicas=-1), self.part(world, "b", replicas=-2))
        with pytest.raises(Invalid) as caught:
            world.orchestrator.apply(Application("shop", bad, volumes=(VolumeSpec("shop_vol"),)))
        assert len(caught.value.problems) == 2
        assert "shop_a" in str(caught.value)
        assert "shop_b" in str(caught.value)
        assert world.orchestrator.services() == ()
        assert "shop_vol" not in {each.name for each in world.volumes.list()}
        self.refused(Invalid, "name", world.orchestrator.apply, Application("no name"))

    def test_a_circle(self, world: World) -> None:
        """Of services that wait for each other: Invalid."""
        one = self.part(world, "a", dependencies=(Dependency("shop_b"),))
        other = self.part(world, "b", dependencies=(Dependency("shop_a"),))
        self.refused(Invalid, "shop_a", world.orchestrator.apply, Application("shop", (one, other)))

    def test_names_of_another_application(self, world: World) -> None:
        """Conflict."""
        world.orchestrator.apply(Application("shop", (self.part(world, "web", replicas=0),)))
        mine = self.spec(world, "shop_web", application="store", replicas=0)
        self.refused(Conflict, "shop_web", world.orchestrator.apply, Application("store", (mine,)))
        assert world.orchestrator.service("shop_web").spec.application == "shop"

    def test_dependencies(self, world: World) -> None:
        """A service's first tasks wait until what it depends on works, and has done its work."""
        health = HealthCheck(("CMD-SHELL", "[ -e /ready ]"), SECOND_NS // 10, SECOND_NS * 5, 1000, 0, SECOND_NS // 10)
        waits = "while [ ! -e /go ]; do sleep 0.05; done; "
        shop = Application(
            "shop",
            (
                self.part(world, "db", f"{waits} echo >/ready; {FOREVER}", config={"health": health}),
                self.part(world, "init", f"{waits} exit 0", restart=_ONCE),
                self.part(
                    world,
                    "web",
                    dependencies=(
                        Dependency("shop_db", Condition.HEALTHY),
                        Dependency("shop_init", Condition.COMPLETED),
                        Dependency("shop_absent", required=False),
                    ),
                ),
            ),
        )
        world.orchestrator.apply(shop)
        [db] = self.running(world, "shop_db", 1)
        [init] = self.running(world, "shop_init", 1)
        self.go(world, db.status.container_id)
        eventually(lambda: world.orchestrator.task(db.id).status.health == "healthy", "the database is healthy")
        assert not self.at_work(world, "shop_web")
        self.go(world, init.status.container_id)
        [web] = self.running(world, "shop_web", 1)
        ended = self.ended(world, "shop_init", TaskState.COMPLETE)
        assert web.status.started_ns >= ended.status.time_ns

    def go(self, world: World, container: str) -> None:
        """Make the file `/go` in a container."""
        from moby.testing.containers_world import archive

        world.containers.write_path(container, "/", archive(("go", b"")))

    def at_work(self, world: World, name: str) -> list[str]:
        """Return ids of the tasks of a service that run."""
        return [each.id for each in world.orchestrator.tasks(name) if each.status.state is TaskState.RUNNING]

    def test_secrets_and_configs(self, world: World) -> None:
        """Are files in the containers that they are given to, and in no other; their data is in no value's text."""
        secret, config = SecretSpec("shop_key", b"open sesame\n"), ConfigSpec("shop_text", b"of a config\n")
        files = {
            "secrets": (FileReference("shop_key", "key"),),
            "configs": (FileReference("shop_text", "/etc/text"),),
        }
        script = f"cat /run/secrets/key /etc/text; {FOREVER}"
        services = (self.part(world, "web", script, **files), self.part(world, "api", script))
        self.up(world, Application("shop", services, secrets=(secret,), configs=(config,)))
        for number in (1, 2):
            task = world.orchestrator.task(f"shop_web.{number}")
            words = "open sesame\nof a config\n"
            eventually(partial(self.says, world, task.id, words, stderr=False), "it reads both")
            if number == 1:
                world.orchestrator.scale("shop_web", 2)
                self.running(world, "shop_web", 2)
        assert self.said(world, "shop_api", stderr=False) == ""
        everything = repr((secret, config, world.orchestrator.services(), world.orchestrator.tasks()))
        assert "sesame" not in everything
        assert "of a config" not in everything

    def test_data_that_changes(self, world: World) -> None:
        """Conflict where secrets have lives of their own; else tasks that have it are replaced."""
        given = (FileReference("shop_key", "key"),)
        script = f"cat /run/secrets/key; {FOREVER}"
        shop = Application(
            "shop", (self.part(world, "web", script, secrets=given),), secrets=(SecretSpec("shop_key", b"1\n"),)
        )
        self.up(world, shop)
        new = evolve(shop, secrets=(SecretSpec("shop_key", b"2\n"),))
        if OrchestratorFeature.SECRETS in world.features:
            self.refused(Conflict, "shop_key", world.orchestrator.apply, new)
            return
        world.orchestrator.apply(new)
        self.running(world, "shop_web", 1)
        eventually(lambda: self.said(world, "shop_web") == "2\n", "it reads the new one")

    def test_logs(self, world: World) -> None:
        """Of a service all tasks', of a task its own; framed by stream."""
        self.begin(world, "web", f"echo from out; echo from err >&2; {FOREVER}", replicas=2)
        eventually(lambda: self.said(world, "web").count("from out") == 2, "both have said it")
        assert self.said(world, "web.1", stderr=False) == "from out\n"
        assert self.said(world, "web.1", stdout=False) == "from err\n"
        assert self.said(world, "web", stdout=False) == "from err\n" * 2

    def test_following_logs(self, world: World) -> None:
        """What is written later comes, too; closing ends it."""
        self.begin(world, "web", f"echo first; while [ ! -e /go ]; do sleep 0.05; done; echo second; {FOREVER}")
        [task] = self.running(world, "web", 1)
        descriptor = world.orchestrator.logs("web", LogQuery(framed=False, follow=True))
        with os.fdopen(descriptor, "rb", buffering=0) as reader:
            found = b""
            while b"second" not in found:
                assert select.select([reader], [], [], 60)[0], "nothing comes"
                chunk = reader.read(4096)
                assert chunk, f"it ends after {found!r}"
                found += chunk
                if found == b"first\n":
                    self.go(world, task.status.container_id)
        assert found == b"first\nsecond\n"

    def test_watch(self, world: World) -> None:
        """Tells of services and their tasks, by name and state, until it is closed."""
        with contextlib.closing(world.orchestrator.watch()) as reader:
            made = self.begin(world, "web")
            world.orchestrator.scale("web", 2)
            self.running(world, "web", 2)
            world.orchestrator.remove("web")
            seen: list[Event] = []

            def look() -> bool:
                if select.select([reader.fileno()], [], [], 0)[0]:
                    seen.extend(reader.take())
                mine = [each for each in seen if each.type == "service" and each.id == made.id]
                return [each.action for each in mine][-1:] == ["remove"]

            eventually(look, "it tells of the removal")
            actions = [each.action for each in seen if each.type == "service" and each.id == made.id]
            assert actions[0] == "create"
            assert "update" in actions
            named = [each for each in seen if each.type == "service"]
            assert {each.attributes["name"] for each in named} == {"web"}
            assert any(each.type == "task" and each.attributes.get("state") == "running" for each in seen)
