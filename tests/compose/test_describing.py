"""Projects of compose files in the contract's words, and what it has no words for."""

import pytest
from moby_orchestrator.compose.describing import application
from moby_orchestrator.compose.files.reading import Asked, read

from moby.contracts.orchestrator import (
    Condition,
    Dependency,
    EndpointMode,
    FailureAction,
    FileReference,
    Mode,
    Order,
    Placement,
    PublishedPort,
    PublishMode,
    Reservations,
    Restart,
    RestartCondition,
    UpdatePolicy,
)
from moby.errors import Invalid, Unsupported

FILE = """
name: shop
services:
  web:
    image: box
    depends_on: {db: {condition: service_healthy, restart: true}, init: {condition: service_completed_successfully}}
    ports: ["127.0.0.1:8080:80", "53:53/udp", "9000", {target: 443, published: "443", mode: host}]
    restart: on-failure:3
    scale: 2
    secrets: [{source: spoken, target: word, mode: 0400, uid: "7"}, filed]
    configs: [{source: text, target: /etc/text}]
    volumes: ["/srv:/srv:ro,z", "data:/data"]
    deploy: {placement: {constraints: [node.role == manager]}}
  db:
    {image: box, restart: unless-stopped, network_mode: none, devices: ["/dev/null:/dev/x:r"], tmpfs: ["/t:ro,size=1m"]}
  init: {build: ., deploy: {restart_policy: {condition: none}}}
  every: {image: box, deploy: {restart_policy: {max_attempts: 4, delay: 3s, window: 2m}}}
secrets: {spoken: {environment: SPOKEN}, filed: {file: ./key}}
configs: {text: {content: "of ${SPOKEN}"}}
networks: {default: {internal: true, ipam: {config: [{subnet: 192.0.2.0/24}]}}}
volumes: {data: {external: true, name: others}}
"""


@pytest.fixture
def described(tmp_path):
    def describe(text):
        (tmp_path / "compose.yaml").write_text(text)
        return application(read(Asked(files=(str(tmp_path / "compose.yaml"),)), {"SPOKEN": "a word"}).used())

    return describe


def test_health_that_is_asked_for_without_a_process(described):
    project = described("name: a\nservices: {web: {image: box, healthcheck: {test: [TCP, '80']}}}\n")
    assert project.services[0].container.health.test == ("TCP", "80")


def test_a_project(described, tmp_path):
    shop = described(FILE)
    services = {each.name: each for each in shop.services}
    web = services["shop_web"]
    assert (web.application, web.replicas, web.placement.constraints) == ("shop", 2, ("node.role == manager",))
    assert set(web.dependencies) == {
        Dependency("shop_db", Condition.HEALTHY, restart=True), Dependency("shop_init", Condition.COMPLETED),
    }  # fmt: skip
    assert web.ports == (
        PublishedPort(80, 8080, host_address="127.0.0.1"), PublishedPort(53, 53, "udp"), PublishedPort(9000),
        PublishedPort(443, 443, mode=PublishMode.HOST),
    )  # fmt: skip
    assert web.secrets == (FileReference("shop_spoken", "/run/secrets/word", 7, 0, 0o400),)
    assert web.configs == (FileReference("shop_text", "/etc/text"),)
    assert [(each.name, each.data) for each in shop.secrets] == [("shop_spoken", b"a word")]
    assert [(each.name, each.data) for each in shop.configs] == [("shop_text", b"of a word")]
    mounts = {each.target: each for each in web.container.mounts}
    assert (mounts["/srv"].relabel, mounts["/srv"].read_only, mounts["/srv"].create_source) == ("z", True, True)
    assert (mounts["/data"].type, mounts["/data"].source) == ("volume", "others")
    assert mounts["/run/secrets/filed"].source == str(tmp_path / "key")
    assert list(services["shop_db"].networks) == ["none"]
    assert services["shop_db"].container.resources.devices[0].permissions == "r"
    assert services["shop_db"].container.mounts[0].read_only
    assert services["shop_init"].container.image == "shop-init"
    restarts = {name: each.restart for name, each in services.items()}
    assert restarts == {
        "shop_web": Restart(RestartCondition.ON_FAILURE, 0, max_attempts=3),
        "shop_db": Restart(RestartCondition.ANY, 0),
        "shop_init": Restart(RestartCondition.NONE, 0),
        "shop_every": Restart(RestartCondition.ANY, 3 * 10**9, 4, 120 * 10**9),
    }
    [network] = shop.networks
    assert (network.network.name, network.network.internal, network.network.ipam[0]["Subnet"], network.external) == (
        "shop_default", True, "192.0.2.0/24", False,
    )  # fmt: skip
    assert [(each.name, each.external) for each in shop.volumes] == [("others", True)]


DEPLOYED = """
name: shop
services:
  web:
    image: box
    healthcheck: {test: "true", interval: 2s}
    mem_limit: 64M
    networks: {default: {aliases: [web, www]}}
    deploy:
      mode: global
      endpoint_mode: dnsrr
      labels: {team: sales}
      update_config: {parallelism: 0, delay: 3s, order: start-first, failure_action: rollback, monitor: 1s,
        max_failure_ratio: 0.5}
      rollback_config: {failure_action: continue}
      placement: {preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}
      resources: {reservations: {cpus: "0.5", memory: 8M,
        generic_resources: [{discrete_resource_spec: {kind: fish, value: 2}}]}}
"""


def test_how_it_is_deployed(described):
    """All that the contract has words for, in plain numbers, which any orchestrator can write down."""
    [web] = described(DEPLOYED).services
    second = 10**9
    assert (web.mode, web.endpoint_mode, web.labels) == (Mode.GLOBAL, EndpointMode.DNSRR, {"team": "sales"})
    assert web.update == UpdatePolicy(0, 3 * second, Order.START_FIRST, second, 0.5, FailureAction.ROLLBACK)
    assert web.rollback == UpdatePolicy(failure_action=FailureAction.CONTINUE)
    assert web.placement == Placement(spread=("node.labels.zone",), max_replicas_per_node=2)
    assert web.reservations == Reservations(second // 2, 8 << 20, {"fish": 2})
    assert web.networks["shop_default"].aliases == ("web", "www")
    plain = (web.container.health.interval_ns, web.container.resources.memory_bytes, web.update.delay_ns)
    assert [(each, type(each)) for each in plain] == [(2 * second, int), (64 << 20, int), (3 * second, int)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mode: many", "services.a.deploy.mode: there is no many"),
        ("endpoint_mode: x", "services.a.deploy.endpoint_mode: there is no x"),
        ("update_config: {failure_action: x}", "services.a.deploy.update_config.failure_action: there is no x"),
        ("restart_policy: {condition: x}", "services.a.deploy.restart_policy.condition: there is no x"),
        (
            "resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: x}}]}}",
            "services.a.deploy.resources.reservations.generic_resources: .* needs a kind and a value",
        ),
        (
            "resources: {reservations: {generic_resources: [{discrete_resource_spec: {value: 1}}]}}",
            "services.a.deploy.resources.reservations.generic_resources: .* needs a kind and a value",
        ),
    ],
)
def test_words_that_there_are_not(described, given, words):
    with pytest.raises(Invalid, match=words):
        described(f"name: shop\nservices: {{a: {{image: x, deploy: {{{given}}}}}}}")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("no", Restart(RestartCondition.NONE, 0)),
        ("on-failure", Restart(RestartCondition.ON_FAILURE, 0)),
        ("always", Restart(RestartCondition.ANY, 0)),
        ("x", "services.a.restart: there is no x"),
        ("on-failure:x", "services.a.restart: 'x' is not a number of attempts"),
    ],
)
def test_restarts(described, given, found):
    def asked():
        return described(f"name: shop\nservices: {{a: {{image: x, restart: '{given}'}}}}").services[0].restart

    if isinstance(found, Restart):
        assert asked() == found
    else:
        with pytest.raises(Invalid, match=found):
            asked()


def test_numbers_are_as_they_are_written(described):
    """Though docker compose reads them as ones of 32 bits."""
    given = "update_config: {max_failure_ratio: 0.3}, resources: {reservations: {cpus: 0.1}, limits: {cpus: '1.3'}}"
    [service] = described(f"name: shop\nservices: {{a: {{image: x, deploy: {{{given}}}}}}}").services
    assert service.update.max_failure_ratio == 0.3
    assert (service.reservations.nano_cpus, service.container.resources.nano_cpus) == (100_000_000, 1_300_000_000)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("container_name: x", "services.a.container_name isn't supported by an orchestrator"),
        ("volumes_from: [b]", "services.a.volumes_from"),
        ("links: [b]", "services.a.links"),
        ("network_mode: 'service:b'", "services.a.network_mode service:b"),
        ("ports: ['8000-8002:80']", "the ports 8000-8002 aren't chosen from here"),
        ("blkio_config: {weight: 10}", "services.a: BlkioWeight isn't supported by an orchestrator"),
        ("cpu_count: 1", "services.a.cpu_count isn't supported"),
    ],
)
def test_what_there_are_no_words_for(described, service, words):
    with pytest.raises(Unsupported, match=words):
        described(f"name: shop\nservices: {{a: {{image: x, {service}}}, b: {{image: x}}}}")
