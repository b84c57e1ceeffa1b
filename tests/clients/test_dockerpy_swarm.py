"""docker-py, unmodified, in swarm mode: the same on our engine and, in `long` tests, on dockerd."""

import gc
import json

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import (
    ConfigReference,
    ContainerSpec,
    EndpointSpec,
    RestartPolicy,
    RollbackConfig,
    SecretReference,
    ServiceMode,
    TaskTemplate,
    UpdateConfig,
)
from peers.box import NAME
from peers.sandbox import PATIENCE_S, until

pytestmark = [
    pytest.mark.slow,
    # docker-py leaves the connections of streams to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
STAY = ["sh", "-c", "echo hello; trap 'exit 3' TERM; while :; do sleep 0.1; done"]


@pytest.fixture(scope="module", params=["swarm", pytest.param("docker", marks=pytest.mark.long)])
def engine(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def client(engine):
    found = docker.DockerClient(base_url=f"unix:/{engine.sandbox.seen('/run/docker.sock')}", timeout=PATIENCE_S)
    found.swarm.init(advertise_addr="127.0.0.1", listen_addr="0.0.0.0:2377")
    yield found
    found.swarm.leave(force=True)
    found.close()
    gc.collect()


@pytest.fixture
def service(client):
    made = client.services.create(
        NAME, STAY, name="web", env=["A=b"], labels={"l": "1"}, container_labels={"c": "2"}, user="0", workdir="/tmp",
        stop_grace_period=2 * 10**9, mode=ServiceMode("replicated", 2),
        restart_policy=RestartPolicy("any", delay=10**9),
        update_config=UpdateConfig(2, delay=1, failure_action="continue", monitor=10**9, order="start-first"),
        rollback_config=RollbackConfig(parallelism=0, monitor=10**9), endpoint_spec=EndpointSpec(ports={8080: 80}),
    )  # fmt: skip
    yield made
    made.remove()


def running(service):
    return [each for each in service.tasks() if each["Status"]["State"] == "running" == each["DesiredState"]]


def updated(service):
    return service.client.services.get(service.id).attrs["UpdateStatus"]["State"]


def test_the_swarm(client):
    found = client.swarm
    found.reload()
    assert found.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
    assert found.update(rotate_worker_token=True, task_history_retention_limit=3, name="default")
    found.reload()
    assert found.attrs["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 3
    assert found.get_unlock_key() == {"UnlockKey": ""}
    with pytest.raises(APIError) as caught:
        found.init(advertise_addr="127.0.0.1")
    assert caught.value.status_code == 503


def test_nodes(client):
    (node,) = client.nodes.list(filters={"role": "manager"})
    assert node.update({"Availability": "active", "Role": "manager", "Labels": {"z": "1"}})
    assert client.nodes.get(node.id).attrs["Spec"]["Labels"] == {"z": "1"}
    with pytest.raises(NotFound):
        client.nodes.get("nothere")


def test_a_service(client, service):
    until(lambda: len(running(service)) == 2, "two tasks")
    found = client.services.get("web")
    spec = found.attrs["Spec"]
    assert (found.id, spec["Labels"]) == (service.id, {"l": "1"})
    assert spec["UpdateConfig"] == {
        "Parallelism": 2, "Delay": 1, "FailureAction": "continue", "Monitor": 10**9, "MaxFailureRatio": 0,
        "Order": "start-first",
    }  # fmt: skip
    policy = {"Condition": "any", "Delay": 10**9, "MaxAttempts": 0}
    assert spec["TaskTemplate"]["RestartPolicy"].items() >= policy.items()
    assert found.attrs["Endpoint"]["Ports"][0]["PublishedPort"] == 8080
    until(lambda: b"".join(found.logs(stdout=True)).count(b"hello") == 2, "what both say")
    assert [each.name for each in client.services.list(filters={"name": "we"}, status=True)] == ["web"]
    task = running(service)[0]
    assert client.api.inspect_task(task["ID"])["Status"]["ContainerStatus"]["PID"] > 0
    container = client.containers.get(task["Status"]["ContainerStatus"]["ContainerID"])
    assert container.labels["com.docker.swarm.service.name"] == "web"


def test_scaling_and_updating(client, service):
    until(lambda: len(running(service)) == 2, "two tasks")
    service.reload()
    service.scale(3)
    until(lambda: len(running(service)) == 3, "three tasks")
    service.reload()
    old = {each["ID"] for each in running(service)}
    service.force_update()
    until(lambda: len(fresh := running(service)) == 3 and not old & {each["ID"] for each in fresh}, "three others")
    until(lambda: updated(service) == "completed", "the update's end, with which the service has its last version")
    stale = service.version
    service.reload()
    service.update(labels={"l": "2"}, fetch_current_spec=True, name="web", image=NAME)
    with pytest.raises(APIError, match="update out of sequence"):
        client.api.update_service(service.id, stale, TaskTemplate(ContainerSpec(NAME)), "web")


def test_secrets_and_configs_in_a_container(client):
    secret = client.secrets.create(name="hush", data=b"secret")
    config = client.configs.create(name="said", data=b"config", labels={"a": "b"})
    assert client.configs.get(config.id).attrs["Spec"]["Labels"] == {"a": "b"}
    spec = ContainerSpec(
        NAME, ["sh", "-c", "cat /run/secrets/hush /said; echo; sleep 1000"], stop_grace_period=10**9,
        secrets=[SecretReference(secret.id, "hush")], configs=[ConfigReference(config.id, "said", filename="/said")],
    )  # fmt: skip
    made = client.api.create_service(TaskTemplate(spec), name="reader")["ID"]
    service = client.services.get(made)
    until(lambda: b"secretconfig" in b"".join(service.logs(stdout=True)), "what is in the files")
    with pytest.raises(APIError) as caught:
        secret.remove()
    assert (caught.value.status_code, "is in use by the following service: reader" in str(caught.value)) == (400, True)
    service.remove()
    secret.remove()
    config.remove()


def test_events(client, engine):
    events = client.api.events(decode=True, filters={"scope": "swarm"})
    client.secrets.create(name="told", data=b"x").remove()
    found = [
        (each["Type"], each["Action"], each["Actor"]["Attributes"]["name"]) for each in (next(events), next(events))
    ]
    assert found == [("secret", "create", "told"), ("secret", "remove", "told")]
    events.close()


def test_a_job(client):
    spec = ContainerSpec(NAME, ["true"])
    mode = ServiceMode("replicated-job", replicas=2)
    made = client.api.create_service(TaskTemplate(spec, restart_policy=RestartPolicy("none")), name="job", mode=mode)
    service = client.services.get(made["ID"])
    until(lambda: [each["Status"]["State"] for each in service.tasks()] == ["complete"] * 2, "the job's end")
    service.remove()


def test_what_the_swarm_is_shown_as(client):
    shown = client.info()["Swarm"]
    assert (shown["LocalNodeState"], shown["Nodes"], shown["Managers"]) == ("active", 1, 1)
    assert json.dumps(shown["Cluster"]).count("JoinTokens") == 0
