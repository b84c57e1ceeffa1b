"""Calls about a swarm where it isn't one machine's that works: who is told what, and what an orchestrator is asked."""

import json
import time
import urllib.parse

import pytest
from attrs import evolve
from frontend.fake_orchestrator import NODE, SPEC, STATE, FakeOrchestrator

from moby.contracts.events import Event
from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import Availability, ClusterSpec, Mode
from moby.errors import Unavailable

WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
BODY = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}
JOIN = {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": ["1.2.3.4"], "JoinToken": "t"}


@pytest.fixture
def orchestrator():
    return FakeOrchestrator()


@pytest.fixture
def swarm(serve, orchestrator):
    return serve(orchestrator=orchestrator)


def said(answer):
    return answer.status, answer.message


class TestWhoIsAsked:
    def test_an_engine_without_an_orchestrator(self, served):
        words = "this engine has no orchestrator, so it can't be part of a swarm (assemble an engine that has an orche"
        for path in ("init", "join"):
            found = served.call("POST", f"/swarm/{path}", {})
            assert (found.status, found.message.startswith(words)) == (503, True)
        assert said(served.call("POST", "/swarm/leave")) == (503, "This node is not part of a swarm")
        assert said(served.call("POST", "/swarm/unlock", {"UnlockKey": "x"})) == (
            503, "This node is not part of a swarm",
        )  # fmt: skip
        assert served.call("GET", "/_ping").headers["Swarm"] == "inactive"

    def test_an_orchestrator_of_one_machine_alone(self, serve):
        alone = serve(orchestrator=FakeOrchestrator(clusters=False))
        found = alone.call("POST", "/swarm/init", {"ListenAddr": "lo"})
        assert (found.status, found.message) == (
            503, ("this engine's orchestrator keeps one machine alone, so it can't be part of a swarm (assemble an "
            "engine with the orchestrator `swarm`)"),
        )  # fmt: skip
        assert alone.call("GET", "/services").message.startswith("This node is not a swarm manager. Use ")
        assert alone.call("GET", "/info").json()["Swarm"]["LocalNodeState"] == "inactive"

    @pytest.mark.parametrize(
        ("state", "ping", "local", "message"),
        [
            (evolve(STATE, manager=False), "active/worker", "active", WORKER),
            (evolve(STATE, locked=True), "locked", "locked", LOCKED),
            (Unavailable("the store is away"), "error", "error", "the store is away"),
        ],
    )
    def test_one_that_is_no_manager(self, swarm, orchestrator, state, ping, local, message):
        orchestrator.found = state
        assert swarm.call("GET", "/_ping").headers["Swarm"] == ping
        assert swarm.call("GET", "/info").json()["Swarm"]["LocalNodeState"] == local
        for path in ("swarm", "services", "nodes", "tasks", "secrets", "configs", "tasks/x/logs"):
            assert said(swarm.call("GET", f"/{path}")) == (503, message)

    def test_a_manager_whose_nodes_can_t_be_asked(self, swarm, orchestrator):
        orchestrator.found = evolve(STATE, version=0)
        found = swarm.call("GET", "/info").json()["Swarm"]
        assert (found["LocalNodeState"], found["Nodes"]) == ("active", 0)
        assert found["RemoteManagers"] == [{"NodeID": "", "Addr": "1.2.3.4:2377"}]

    def test_who_may_only_read_sees_no_tokens(self, serve, orchestrator):
        reader = serve(orchestrator=orchestrator, allow="read")
        assert reader.call("GET", "/services").status == 200
        for path in ("swarm", "swarm/unlockkey"):
            assert reader.call("GET", f"/{path}").status == 403


class TestMembership:
    def test_begins_with_an_availability(self, swarm, orchestrator):
        orchestrator.found = None
        body = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "1.2.3.4", "Availability": "drain"}
        found = swarm.call("POST", "/swarm/init", body)
        assert (found.status, found.json()) == (200, NODE.id)
        begun, changed = orchestrator.calls
        assert begun == ("create", ClusterSpec(), {"listen": "0.0.0.0:2377", "advertise": "1.2.3.4"})
        assert changed[2].availability is Availability.DRAIN

    def test_begins_anew_by_force(self, swarm, orchestrator):
        body = {"ListenAddr": "lo"}
        words = (503, ('This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join '
                 "another one."))  # fmt: skip
        assert said(swarm.call("POST", "/swarm/init", body)) == words
        assert swarm.call("POST", "/swarm/init", body | {"ForceNewCluster": True}).status == 200
        assert orchestrator.calls == [("create", ClusterSpec(), {"listen": "lo", "force": True})]

    def test_joins(self, swarm, orchestrator):
        part = said(swarm.call("POST", "/swarm/join", JOIN))
        orchestrator.found = None
        assert swarm.call("POST", "/swarm/join", JOIN).status == 200
        assert orchestrator.calls == [("join", ("1.2.3.4",), "t", {"listen": "0.0.0.0:2377", "advertise": ""})]
        assert said(swarm.call("POST", "/swarm/join", JOIN | {"JoinToken": "late"})) == part
        assert said(swarm.call("POST", "/swarm/join", JOIN | {"RemoteAddrs": []})) == (
            400, "at least 1 RemoteAddr is required to join",
        )  # fmt: skip
        assert said(swarm.call("POST", "/swarm/join", JOIN | {"Availability": "drain"})) == (
            400, "JoinRequest.Availability: a node that joins takes tasks; change that once it has joined",
        )  # fmt: skip

    def test_leaves(self, swarm, orchestrator):
        begin = "You are attempting to leave the swarm on a node that is participating as a manager. "
        orchestrator.found = evolve(STATE, managers=("a", "b"))
        assert said(swarm.call("POST", "/swarm/leave")) == (
            503, f"{begin}Demote it first, or use `--force` to ignore this message.",
        )  # fmt: skip
        orchestrator.found = evolve(STATE, locked=True)
        assert said(swarm.call("POST", "/swarm/leave")) == (
            503, "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.",
        )  # fmt: skip
        assert orchestrator.calls == []
        assert swarm.call("POST", "/swarm/leave?force=1").status == 200
        assert orchestrator.calls == [("leave", True)]

    def test_is_unlocked(self, swarm, orchestrator):
        assert said(swarm.call("POST", "/swarm/unlock", {"UnlockKey": "right"})) == (409, "swarm is not locked")
        orchestrator.found = evolve(STATE, locked=True)
        assert said(swarm.call("POST", "/swarm/unlock", {"UnlockKey": "wrong"})) == (
            401, "swarm could not be unlocked: invalid key provided",
        )  # fmt: skip
        assert said(swarm.call("POST", "/swarm/unlock", {"UnlockKey": "late"})) == (409, "swarm is not locked")
        assert swarm.call("POST", "/swarm/unlock", {"UnlockKey": "right"}).status == 200

    def test_keeps_its_address_pools_when_it_is_settled_anew(self, swarm, orchestrator):
        spec = ClusterSpec(address_pools=("10.9.0.0/16",), subnet_prefix=26)
        orchestrator.found = evolve(STATE, spec=spec)
        shown = swarm.call("GET", "/swarm").json()["Spec"]
        shown["Labels"] = {"a": "b"}
        path = "/swarm/update?version=9&rotateWorkerToken=1&rotateManagerUnlockKey=true"
        assert swarm.call("POST", path, shown).status == 200
        (call,) = orchestrator.calls
        assert call == ("update", evolve(spec, labels={"a": "b"}), 9, {"rotate": frozenset({"worker", "unlock"})})


class TestServices:
    def test_an_update_and_who_was_quicker(self, swarm, orchestrator):
        assert swarm.call("POST", "/services/web/update?version=5", BODY).json() == {"Warnings": None}
        quicker = swarm.call("POST", "/services/web/update?version=6", BODY)
        assert said(quicker) == (500, "rpc error: code = Unknown desc = update out of sequence")

    def test_a_port_that_is_taken(self, swarm):
        body = BODY | {"EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 90}]}}
        assert said(swarm.call("POST", "/services/web/update?version=5", body)) == (
            400, ("rpc error: code = InvalidArgument desc = port '90' is already in use by service 'x' (y) as an "
            "ingress port"),
        )  # fmt: skip

    def test_updates_that_can_t_be(self, swarm):
        nameless = {"TaskTemplate": BODY["TaskTemplate"]}
        assert said(swarm.call("POST", "/services/web/update?version=5", nameless)) == (
            400, "rpc error: code = InvalidArgument desc = meta: name must be provided",
        )  # fmt: skip
        path = "/services/web/update?version=5&registryAuthFrom=previous-spec"
        assert said(swarm.call("POST", path, BODY)) == (
            400, "registryAuthFrom: only a rollback takes the credentials of before",
        )  # fmt: skip
        lost = json.loads(json.dumps(BODY))
        lost["TaskTemplate"]["ContainerSpec"]["Configs"] = [{"ConfigID": "a", "ConfigName": "a", "File": {"Name": "a"}}]
        assert said(swarm.call("POST", "/services/web/update?version=5", lost)) == (
            400, "rpc error: code = InvalidArgument desc = config not found: a",
        )  # fmt: skip

    def test_a_rollback(self, swarm, orchestrator):
        path = "/services/web/update?version=5&rollback=previous&registryAuthFrom=previous-spec"
        assert swarm.call("POST", path, BODY).status == 200
        assert orchestrator.calls == [("roll_back", "s" * 25, 5)]

    def test_credentials_and_a_name_of_its_own(self, swarm, orchestrator):
        auth = "eyJ1c2VybmFtZSI6ICJ1IiwgInBhc3N3b3JkIjogInAifQ=="
        found = swarm.call(
            "POST", "/services/create", {"TaskTemplate": BODY["TaskTemplate"]}, {"X-Registry-Auth": auth}
        )
        assert found.status == 201
        ((_, spec, more),) = orchestrator.calls
        assert (more["credentials"].username, more["credentials"].password) == ("u", "p")
        assert spec.name.startswith("service_")

    def test_a_network_that_is_not_there(self, swarm):
        body = json.loads(json.dumps(BODY))
        body["TaskTemplate"]["Networks"] = [{"Target": "nonesuch"}]
        assert said(swarm.call("POST", "/services/create", body)) == (404, "network nonesuch not found")

    @pytest.mark.parametrize("terminal", [False, True])
    def test_logs(self, swarm, orchestrator, terminal):
        orchestrator.kept = evolve(
            orchestrator.kept, spec=evolve(SPEC, container=evolve(SPEC.container, terminal=terminal))
        )
        found = swarm.call("GET", "/services/web/logs?stdout=1&details=1&tail=3&timestamps=1")
        assert found.body == b"a line"
        kind = "raw" if terminal else "multiplexed"
        assert found.headers["Content-Type"] == f"application/vnd.docker.{kind}-stream"
        ((_, name, query),) = orchestrator.calls
        assert (name, query.framed, query.details, query.tail, query.timestamps, query.stderr) == (
            "s" * 25, not terminal, True, 3, True, False,
        )  # fmt: skip

    def test_lists(self, swarm, orchestrator):
        def names(path, **filters):
            text = urllib.parse.quote(json.dumps(filters))
            return [each.get("ID", "")[:1] for each in swarm.call("GET", f"/{path}?filters={text}").json()]

        assert names("services", name=["we"]) == ["s"]
        assert names("services", name=["eb"]) == []
        assert names("services", mode=["replicated"], runtime=["container"]) == ["s"]
        assert names("tasks", service=["web"]) == names("tasks") == ["t", "u"]
        assert names("tasks", name=["web.1"]) == names("tasks", **{"_up-to-date": ["1"]}) == ["t"]
        assert names("tasks", **{"desired-state": ["shutdown"]}) == []
        assert names("tasks", node=["self"]) == []
        assert names("nodes", name=["v"], role=["manager"], membership=["accepted"]) == ["n"]
        assert names("nodes", membership=["pending"]) == []
        assert names("secrets", names=["key"]) == ["i"]
        assert names("secrets", names=["ke"]) == []
        assert names("configs", id=["j"]) == ["j"]
        orchestrator.kept = evolve(orchestrator.kept, spec=evolve(SPEC, mode=Mode.GLOBAL))
        assert names("services", mode=["global"]) == ["s"]


class TestErrors:
    def test_what_an_orchestrator_lacks(self, swarm):
        assert said(swarm.call("POST", "/secrets/create", {"Name": "a", "Data": "eA=="})) == (
            501, "rpc error: code = Unimplemented desc = this orchestrator has no secrets of their own",
        )  # fmt: skip

    def test_what_nobody_may(self, swarm):
        assert said(swarm.call("POST", "/secrets/key/update?version=4", {"Name": "key"})) == (
            403, "rpc error: code = PermissionDenied desc = nobody may",
        )  # fmt: skip

    def test_a_secret_of_a_driver_has_no_data(self, swarm):
        body = {"Name": "a", "Data": "eA==", "Driver": {"Name": "d"}}
        assert said(swarm.call("POST", "/secrets/create", body)) == (
            400, "rpc error: code = InvalidArgument desc = SecretSpec.Data: it must be empty where a driver has it",
        )  # fmt: skip


class TestNetworks:
    def test_what_each_node_has_is_the_swarm_s_too(self, swarm, orchestrator):
        assert swarm.call("GET", "/networks/host?scope=swarm").json()["Name"] == "host"
        orchestrator.found = None
        assert swarm.call("GET", "/networks/host?scope=swarm").status == 404

    def test_one_that_a_service_is_on_stays(self, swarm, orchestrator):
        swarm.networks.made["net"] = evolve(
            swarm.networks.get("host"), name="net", id="f" * 25, predefined=False, scope="swarm"
        )
        orchestrator.kept = evolve(orchestrator.kept, spec=evolve(SPEC, networks={"net": EndpointConfig()}))
        assert said(swarm.call("DELETE", "/networks/net")) == (
            400, f"rpc error: code = FailedPrecondition desc = network {'f' * 25} is in use by service {'s' * 25}",
        )  # fmt: skip

    @pytest.mark.parametrize(("state", "attachable", "closed"), [(STATE, False, True), (STATE, True, False),
                                                                 (None, False, False)])  # fmt: skip
    def test_who_may_be_on_one(self, swarm, orchestrator, state, attachable, closed):
        orchestrator.found = state
        made = swarm.call("POST", "/networks/create", {"Name": "shop", "Driver": "o", "Attachable": attachable})
        assert (made.status, swarm.networks.get("shop").services_only) == (201, closed)


class TestEvents:
    def test_of_the_swarm_and_of_the_engine(self, swarm, orchestrator):
        orchestrator.tell("service", "create", name="web")
        orchestrator.tell("task", "create", name="web")
        swarm.call("POST", "/volumes/create", {"Name": "v1"})
        orchestrator.tell("node", "update", name="vm")
        found = self.shown(swarm)
        assert found == [("service", "create", "swarm"), ("volume", "create", "local"), ("node", "update", "swarm")]

    def shown(self, swarm, **filters):
        text = urllib.parse.quote(json.dumps(filters))
        path = f"/events?since=1&until={time.time():.9f}&filters={text}"
        lines = swarm.call("GET", path).body.decode().splitlines()
        return [(each["Type"], each["Action"], each["scope"]) for each in map(json.loads, lines)]

    def test_of_networks_that_are_the_swarm_s(self, swarm):
        for action, scope in (("create", "swarm"), ("connect", "local"), ("destroy", "swarm"), ("destroy", "local")):
            attributes = {"name": "shop", "type": "overlay"}
            swarm.events.publish(Event("network", action, "n" * 25, attributes, scope=scope))
        assert self.shown(swarm, scope=["swarm"]) == [("network", "create", "swarm"), ("network", "remove", "swarm")]
        assert self.shown(swarm, event=["remove"]) == [("network", "remove", "swarm")]
        assert self.shown(swarm, event=["destroy"]) == [("network", "destroy", "local")]

    def test_by_filters(self, swarm, orchestrator):
        orchestrator.tell("service", "create", name="web")
        orchestrator.tell("node", "update", name="vm")
        assert self.shown(swarm, scope=["swarm"], node=["vm"]) == [("node", "update", "swarm")]
        assert self.shown(swarm, service=["web"]) == [("service", "create", "swarm")]
        assert self.shown(swarm, scope=["local"]) == []

    def test_followed_from_before_there_was_a_swarm(self, serve):
        orchestrator = FakeOrchestrator(state=None)
        swarm = serve(orchestrator=orchestrator)
        events = swarm.docker().events(decode=True)
        swarm.call("POST", "/volumes/create", {"Name": "v0"})
        assert next(events)["Type"] == "volume"
        orchestrator.found = STATE
        orchestrator.tell("service", "create", name="web")
        # The engine's next event lets the swarm be looked for, no sooner than a second after the last time.
        seen, count = [], 0
        while "service" not in seen:
            count += 1
            swarm.call("POST", "/volumes/create", {"Name": f"v{count}"})
            seen.append(next(events)["Type"])
            assert count < 100_000
        orchestrator.tell("secret", "create", name="key")
        while next(events)["Type"] != "secret":
            pass
