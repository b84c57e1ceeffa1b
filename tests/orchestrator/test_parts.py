import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_orchestrator.reconciling.changes import created, explained, rolled_back, updated
from moby_orchestrator.reconciling.constraints import Constraint, known, parse
from moby_orchestrator.reconciling.dependencies import order
from moby_orchestrator.reconciling.health import health_of
from moby_orchestrator.reconciling.template import fingerprint
from orchestrator.notation import spec

from moby.contracts.containers import Container, ContainerConfig, State
from moby.contracts.orchestrator import (
    Application,
    Config,
    ConfigSpec,
    Dependency,
    FileReference,
    Problem,
    Reason,
    SecretSpec,
    Tokens,
    UpdateState,
    UpdateStatus,
)
from moby.contracts.supervisor import Health, HealthCheck, HealthResult, HealthStatus
from moby.errors import Conflict, Invalid

OK, BAD = (HealthResult(0, 0, code) for code in (0, 1))
PLAIN = spec("web", {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("node.role==manager", Constraint("node.role", "manager", True)),
        ("node.hostname != One", Constraint("node.hostname", "one", False)),
        ("NODE.ID==x", Constraint("node.id", "x", True)),
        ("node.labels.Disk==a b", Constraint("node.labels.Disk", "a b", True)),
        ("Engine.Labels.os==x", Constraint("engine.labels.os", "x", True)),
        ("node.platform.arch==x86_64", Constraint("node.platform.arch", "amd64", True)),
    ],
)
def test_a_constraint_is_read(text, found):
    assert parse(text) == found


@pytest.mark.parametrize("text", ["", "node.role", "node.role=manager", "==x", "node.role==", "node.role>1", "!=x"])
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(Invalid, match="neither KEY==VALUE nor KEY!=VALUE"):
        parse(text)


@pytest.mark.parametrize("key", ["node", "node.labels.", "engine.labels", "role", "node.ip", ""])
def test_what_is_no_key_of_a_node_is_refused(key):
    with pytest.raises(Invalid, match="no key of a node"):
        known(key)
    with pytest.raises(Invalid):
        parse(f"{key}==x")


CHANGES = {
    "image": {"container": ContainerConfig("another")},
    "a zero for none": {"container": ContainerConfig("new", stop_timeout_s=0)},
    "an empty entry point": {"container": ContainerConfig("new", entrypoint=())},
    "false for none": {"container": ContainerConfig("new", init=False)},
    "health": {"container": ContainerConfig("new", health=HealthCheck(("NONE",)))},
    "force": {"force": 1},
    "secrets": {"secrets": (FileReference("key", "key"),)},
    "configs": {"configs": (FileReference("key", "key"),)},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_what_tasks_are_made_of_has_its_fingerprint(changes):
    assert fingerprint(attrs.evolve(PLAIN, **changes)) != fingerprint(PLAIN)


@pytest.mark.parametrize(
    "given",
    [
        {"replicas": 7},
        {"update": {"parallelism": 3}},
        {"restart": {"delay": 1}},
        {"ports": [{"target": 80, "published": 80}]},
        {"placement": {"spread": ["node.labels.zone"], "max_replicas_per_node": 2}},
        {"dependencies": [{"service": "db"}]},
    ],
)
def test_what_tasks_are_not_made_of_has_none(given):
    assert fingerprint(spec("web", given)) == fingerprint(PLAIN)


@pytest.mark.parametrize(
    "given",
    [
        {"ports": [{"target": 80, "published": 80, "mode": "host"}]},
        {"placement": {"constraints": ["node.role==manager"]}},
        {"placement": {"platforms": ["linux/arm64"]}},
        {"reservations": {"memory_bytes": 1}},
        {"volumes": ["nfs"]},
    ],
)
def test_where_a_task_may_be_is_what_it_is_made_of(given):
    assert fingerprint(spec("web", given)) != fingerprint(PLAIN)


def test_the_order_of_names_makes_no_other_tasks():
    one = attrs.evolve(PLAIN, container=ContainerConfig("new", labels={"a": "1", "b": "2"}))
    two = attrs.evolve(PLAIN, container=ContainerConfig("new", labels={"b": "2", "a": "1"}))
    assert fingerprint(one) == fingerprint(two)


def test_tasks_follow_those_of_a_service_that_they_are_to_follow():
    tied = attrs.evolve(PLAIN, dependencies=(Dependency("db", restart=True),))
    loose = attrs.evolve(PLAIN, dependencies=(Dependency("db"),))
    assert fingerprint(tied, {"db": "1"}) != fingerprint(tied, {"db": "2"})
    assert fingerprint(loose, {"db": "1"}) == fingerprint(loose, {"db": "2"})


def test_an_update_can_be_taken_back_once():
    service = created("s1", PLAIN, 1)
    changed = updated(service, attrs.evolve(PLAIN, container=ContainerConfig("another")), 2)
    assert changed.template != service.template
    back = rolled_back(changed, "asked for", 3)
    assert (back.spec, back.template, back.previous) == (PLAIN, service.template, None)
    assert back.update.state is UpdateState.ROLLBACK_STARTED
    with pytest.raises(Conflict, match=r"service .* does not have a previous spec"):
        rolled_back(back, "asked for", 4)


@pytest.mark.parametrize(
    "state", [UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED, UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED]
)
def test_what_became_of_an_update_is_forgotten_with_the_next_one(state):
    service = attrs.evolve(created("s1", PLAIN, 1), update=UpdateStatus(state, 1))
    assert updated(service, PLAIN, 2).update is None
    under_way = attrs.evolve(service, update=UpdateStatus(UpdateState.UPDATING, 1))
    assert updated(under_way, PLAIN, 2).update == under_way.update


def test_why_a_task_has_no_node_is_told_in_dockers_words():
    assert explained(()) == "no suitable node"
    assert explained([Problem(Reason.RESOURCES, 2), Problem(Reason.PLATFORM, 1)]) == (
        "no suitable node (insufficient resources on 2 nodes; unsupported platform on 1 node)"
    )


def test_services_begin_after_those_that_they_wait_for():
    services = [
        spec("web", {"dependencies": [{"service": "api"}, {"service": "elsewhere"}]}),
        spec("api", {"dependencies": [{"service": "db"}, {"service": "cache"}]}),
        spec("db", {}),
        spec("cache", {}),
    ]
    assert [each.name for each in order(services)] == ["cache", "db", "api", "web"]


def test_services_that_wait_for_each_other_are_refused():
    services = [spec(name, {"dependencies": [{"service": other}]}) for name, other in ("ab", "bc", "cb")]
    with pytest.raises(Invalid, match="services wait for each other: b -> c -> b"):
        order(services)
    with pytest.raises(Invalid, match="a -> a"):
        order([spec("a", {"dependencies": [{"service": "a"}]})])


def test_a_long_chain_is_put_in_order():
    chain = [spec(f"s{n:05}", {"dependencies": [{"service": f"s{n + 1:05}"}]}) for n in range(3000)]
    assert [each.name for each in order(chain)] == sorted((each.name for each in chain), reverse=True)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_each_service_is_once_in_the_order_and_after_its_own(edges):
    needs = {n: sorted({b for a, b in edges if a == n and b > a}) for n in range(10)}
    specs = [spec(f"s{n}", {"dependencies": [{"service": f"s{b}"} for b in needs[n]]}) for n in needs]
    names = [each.name for each in order(specs)]
    assert sorted(names) == [f"s{n}" for n in range(10)]
    assert all(names.index(f"s{b}") < names.index(f"s{n}") for n, each in needs.items() for b in each)


def test_no_value_shows_what_is_secret():
    secret = SecretSpec("key", b"hunter2")
    shown = repr(
        (
            secret,
            Application("shop", secrets=(secret,), configs=(ConfigSpec("c", b"hunter2"),)),
            Config("1", ConfigSpec("c", b"hunter2"), 1, 0, 0),
            Tokens("hunter2", "hunter2"),
        )
    )
    assert "hunter2" not in shown
    assert "key" in shown


@pytest.mark.parametrize(
    ("health", "retries", "found"),
    [
        (None, 3, HealthStatus.NONE),
        (Health(HealthStatus.STARTING), 3, HealthStatus.STARTING),
        (Health(HealthStatus.HEALTHY, 1, (OK, BAD)), 3, HealthStatus.HEALTHY),
        (Health(HealthStatus.UNHEALTHY, 3, (OK, BAD, BAD, BAD)), 3, HealthStatus.UNHEALTHY),
        (Health(HealthStatus.UNHEALTHY, 3, (BAD, BAD, BAD)), 0, HealthStatus.UNHEALTHY),
        (Health(HealthStatus.UNHEALTHY, 0, (BAD, OK)), 3, HealthStatus.HEALTHY),
        (Health(HealthStatus.UNHEALTHY, 2, (OK, BAD, BAD)), 0, HealthStatus.HEALTHY),
        (Health(HealthStatus.UNHEALTHY, 0, ()), 3, HealthStatus.STARTING),
        (Health(HealthStatus.UNHEALTHY, 1, (BAD,)), 1, HealthStatus.UNHEALTHY),
    ],
)
def test_health(health, retries, found):
    """A pause is no finding of a probe."""
    config = ContainerConfig("box", health=HealthCheck(("CMD", "x"), retries=retries))
    assert health_of(Container("a", "a", "", config, "", "", (), State(health=health))) is found
