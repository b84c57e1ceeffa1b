"""What is to be done next on one machine: a table of cases, and that it comes to rest from wherever it begins."""

import itertools

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_orchestrator.compose.keeping.planning import (
    Create,
    Done,
    Forget,
    Rename,
    Retire,
    Start,
    View,
    plan,
    waits_for,
)
from moby_orchestrator.compose.keeping.values import Kept, Removal, Seen

from moby.contracts.containers import ContainerConfig, Status
from moby.contracts.orchestrator import Condition, Dependency, ServiceSpec
from moby.contracts.supervisor import HealthStatus


def kept(name="web", replicas=1, *, dependencies=(), **more):
    spec = ServiceSpec(f"shop_{name}", ContainerConfig("box"), "shop", replicas=replicas, dependencies=dependencies)
    return Kept(f"id-{name}", spec, "new", **more)


def seen(number=1, name="web", template="new", status=Status.RUNNING, **more):
    id = more.pop("id", f"{name}{number}-{template}")  # noqa: A001  # its field
    named = more.pop("named", f"shop-{name}-{number}")
    started = 0 if status is Status.CREATED else 1
    more = {"owner": f"id-{name}", "image_id": "", "created_ns": 1, "started_ns": started, **more}
    return Seen(id, named, "shop", name, number, template=template, status=status, **more)


def view(services, containers=(), removals=(), **more):
    found = {}
    for each in containers:
        found.setdefault(each.owner or f"id-{each.key}", []).append(each)
    grouped = {name: tuple(each) for name, each in found.items()}
    return View({each.id: each for each in services}, {each.id: each for each in removals}, grouped, **more)


DB_FIRST = (Dependency("shop_db", Condition.HEALTHY),)
CASES = {
    "nothing to do": (view([kept()], [seen()]), ()),
    "made": (view([kept(replicas=2, missing=2)]), (Create("id-web", 1), Create("id-web", 2))),
    "one more": (view([kept(replicas=3, missing=1)], [seen(1), seen(3)]), (Create("id-web", 2),)),
    "being made": (view([kept(missing=1)], busy=frozenset({("id-web", 1)})), ()),
    "couldn't be made": (view([kept(missing=1)], failed=frozenset({("id-web", 1)})), ()),
    "its name is a leaving one's": (
        view([kept(missing=1)], [seen(owner="gone")], [Removal("gone", "shop", "web")], busy=frozenset({"web1-new"})),
        (),
    ),
    "started": (view([kept()], [seen(status=Status.CREATED)]), (Start("web1-new"),)),
    "not started again": (view([kept()], [seen(status=Status.EXITED)]), ()),
    "started again": (
        view([kept()], [seen(status=Status.EXITED)], again=frozenset({"web1-new"})), (Start("web1-new"),),
    ),
    "a start that failed": (view([kept()], [seen(status=Status.CREATED, error="no such file")]), ()),
    "replaced": (view([kept()], [seen(template="old")]), (Create("id-web", 1, "web1-old"),)),
    "of another image": (
        view([kept(image_id="b")], [seen(image_id="a")]), (Create("id-web", 1, "web1-new"),),
    ),
    "replaced half-way": (
        view([kept()], [seen(template="old"), seen(named="web1-old_shop-web-1", status=Status.CREATED, created_ns=2)]),
        (Retire("web1-old"), Start("web1-new")),
    ),
    "to be renamed": (view([kept()], [seen(named="0123_shop-web-1")]), (Rename("web1-new", "shop-web-1"),)),
    "too many": (view([kept()], [seen(1), seen(2)]), (Retire("web2-new"),)),
    "two of a number": (
        view([kept()], [seen(), seen(id="later", created_ns=2)]), (Retire("web1-new"),),
    ),
    "nowhere to be": (view([kept()], [seen()], unplaceable=frozenset({"id-web"})), (Retire("web1-new"),)),
    "removed by hand": (view([kept()]), (Forget("id-web"),)),
    "wanted by nobody": (view([kept(replicas=0)]), ()),
    "one of two removed by hand": (view([kept(replicas=2)], [seen(2)]), ()),
    "docker compose's": (view([kept(adopted=True, replicas=0)], [seen(), seen(2, template="old")]), ()),
    "removed": (view([], [seen()], [Removal("id-web", "shop", "web")]), (Retire("web1-new"),)),
    "removed and gone": (view([], [], [Removal("id-web", "shop", "web")]), (Done("id-web"),)),
    "removed after another": (
        view(
            [], [seen(), seen(name="db")],
            [Removal("id-web", "shop", "web"), Removal("id-db", "shop", "db", after=("id-web",))],
        ),
        (Retire("web1-new"),),
    ),
    "waits for health": (
        view(
            [kept(dependencies=DB_FIRST), kept("db")],
            [seen(status=Status.CREATED), seen(name="db", health=HealthStatus.STARTING)],
        ),
        (),
    ),
    "waits no more": (
        view(
            [kept(dependencies=DB_FIRST), kept("db")],
            [seen(status=Status.CREATED), seen(name="db", health=HealthStatus.HEALTHY)],
        ),
        (Start("web1-new"),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    found, expected = CASES[case]
    assert plan(found) == expected
    assert plan(found) == expected, "the same input gives the same actions"


@pytest.mark.parametrize(
    ("condition", "other", "words"),
    [
        (Condition.STARTED, seen(name="db", status=Status.CREATED), "shop_db to be started"),
        (Condition.STARTED, seen(name="db", status=Status.EXITED, exit_code=1), ""),
        (Condition.HEALTHY, seen(name="db", health=HealthStatus.UNHEALTHY), "shop_db to be healthy"),
        (Condition.HEALTHY, seen(name="db"), ""),
        (Condition.HEALTHY, seen(name="db", template="old"), "shop_db to be healthy"),
        (Condition.COMPLETED, seen(name="db"), "shop_db to complete successfully"),
        (Condition.COMPLETED, seen(name="db", status=Status.EXITED, exit_code=1), "shop_db to complete successfully"),
        (Condition.COMPLETED, seen(name="db", status=Status.EXITED, exit_code=0), ""),
    ],
)
def test_what_is_waited_for(condition, other, words):
    web = kept(dependencies=(Dependency("shop_db", condition),))
    assert waits_for(view([web, kept("db")], [other]), web) == words


def test_what_is_not_there():
    web = kept(dependencies=(Dependency("shop_db"),))
    assert waits_for(view([web]), web) == "shop_db to be created"
    web = kept(dependencies=(Dependency("shop_db", required=False),))
    assert waits_for(view([web]), web) == ""


class Machine:
    """Does what a plan says, or dies in the middle of replacing."""

    def __init__(self, services, containers):
        self.services = {each.id: each for each in services}
        self.containers = {each.id: each for each in containers}
        self.ids = map("c{}".format, itertools.count())
        self.now = 10

    def view(self):
        return view(self.services.values(), sorted(self.containers.values(), key=lambda each: (each.number, each.id)))

    def make(self, service, number, name):
        self.now += 1
        made = seen(number, status=Status.CREATED, id=next(self.ids), named=name, created_ns=self.now)
        self.containers[made.id] = made

    def do(self, action, die):
        match action:
            case Create(service, number, replaces):
                assert f"shop-web-{number}" not in {e.name for e in self.containers.values() if e.id != replaces}
                self.make(service, number, f"{replaces}_shop-web-{number}" if replaces else f"shop-web-{number}")
                if replaces and not die:
                    del self.containers[replaces]
                one = self.services[service]
                if not replaces and not die:
                    self.services[service] = evolve(one, missing=one.missing - 1)
            case Start(container):
                self.containers[container] = evolve(self.containers[container], status=Status.RUNNING, started_ns=1)
            case Retire(container):
                del self.containers[container]
            case Rename(container, name):
                assert name not in {each.name for each in self.containers.values()}
                self.containers[container] = evolve(self.containers[container], name=name)
            case _:
                raise AssertionError(action)


STATUSES = st.sampled_from([Status.CREATED, Status.RUNNING, Status.EXITED])
CONTAINERS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["old", "new"]), STATUSES), max_size=7)


@settings(max_examples=300, deadline=None)
@given(CONTAINERS, st.integers(1, 5), st.lists(st.booleans(), max_size=30))
def test_it_comes_to_rest(containers, replicas, deaths):
    """With each number once, all as wanted, whoever dies how often meanwhile."""
    there, names = [], set()
    for index, (number, template, status) in enumerate(containers):
        name = f"shop-web-{number}"
        name = f"x{index}_{name}" if name in names else name
        names.add(name)
        there.append(seen(number, template=template, status=status, id=f"b{index}", named=name, created_ns=index))
    numbers = len({each.number for each in there})
    machine = Machine([kept(replicas=replicas, missing=max(0, replicas - numbers))], there)
    dies = iter(deaths)
    for _ in range(60):
        actions = plan(machine.view())
        if not actions:
            break
        for action in actions:
            machine.do(action, next(dies, False))
    found = sorted(machine.containers.values(), key=lambda each: each.number)
    assert plan(machine.view()) == ()
    assert len(found) == replicas
    assert len({each.number for each in found}) == replicas
    assert all(each.template == "new" and each.name == f"shop-web-{each.number}" for each in found)
    assert all(each.started_ns for each in found)
