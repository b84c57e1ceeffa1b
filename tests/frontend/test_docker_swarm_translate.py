"""Docker's swarm JSON and the contract of orchestrators: nothing that the docker command sends is lost both ways.

`recorded_services.jsonl` has bodies as Debian's docker command sent them to `/services`.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_frontend.docker.failures import status_of
from moby_frontend.docker.swarm.cluster import checked_listen, read_cluster, read_init, show_cluster, show_swarm
from moby_frontend.docker.swarm.containers import read_container
from moby_frontend.docker.swarm.nodes import read_node, show_node
from moby_frontend.docker.swarm.objects import read_config, read_secret, show_config, show_secret
from moby_frontend.docker.swarm.policies import read_endpoint_spec, read_placement, read_policy
from moby_frontend.docker.swarm.privileges import read_privileges, show_privileges
from moby_frontend.docker.swarm.services import read_service, show_service, show_spec, show_status
from moby_frontend.docker.swarm.strict import says_something
from moby_frontend.docker.swarm.tasks import show_task

from moby.contracts.containers import ContainerConfig
from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint
from moby.contracts.orchestrator import (
    Availability,
    ClusterSpec,
    ClusterState,
    Config,
    ConfigSpec,
    Manager,
    Mode,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    Role,
    Secret,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
    Tokens,
    UpdatePolicy,
    UpdateState,
    UpdateStatus,
)
from moby.errors import Invalid, MobyError

RECORDED = [json.loads(line) for line in Path(__file__).with_name("recorded_services.jsonl").read_text().splitlines()]


class Names:
    """Networks whose ids are their names, and secrets and configs by the ids that were recorded."""

    def __init__(self, body):
        container = body.get("TaskTemplate", {}).get("ContainerSpec", {})
        pairs = [(each["SecretName"], each["SecretID"]) for each in container.get("Secrets", ())]
        pairs += [(each["ConfigName"], each["ConfigID"]) for each in container.get("Configs", ())]
        self.ids = dict(pairs)

    def network(self, target):
        return f"name of {target}"

    def network_id(self, name):
        return name.removeprefix("name of ")

    def secret_id(self, name):
        return self.ids[name]

    config_id = secret_id


def lost(sent, shown, where=""):
    """Return the paths of what was sent and isn't shown as it was."""
    if isinstance(sent, dict):
        if not isinstance(shown, dict):
            return [where]
        return [
            path for key, each in sent.items() if says_something(each)
            for path in lost(each, shown.get(key), f"{where}.{key}")
        ]  # fmt: skip
    if isinstance(sent, list) and isinstance(shown, list) and len(sent) == len(shown):
        return [path for old, new in zip(sent, shown, strict=True) for path in lost(old, new, f"{where}[]")]
    return [] if sent == shown else [f"{where}: {sent!r} is shown as {shown!r}"]


def returned(body, **options):
    names = Names(body)
    return show_spec(read_service(body, names), names, **options)


@pytest.mark.parametrize("body", RECORDED, ids=lambda body: body["Name"])
def test_what_the_command_sends_comes_back(body):
    shown = returned(body)
    assert lost(body, shown) == []
    assert returned(shown) == shown, "what is shown, sent again as an update does, is another thing"


def test_defaults_are_shown_where_they_are_asked_for():
    shown = returned({"Name": "a", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}, defaults=True)
    assert shown["TaskTemplate"]["RestartPolicy"] == {"Condition": "any", "Delay": 5 * 10**9, "MaxAttempts": 0}
    assert shown["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10**10
    assert shown["UpdateConfig"] == shown["RollbackConfig"] == {
        "Parallelism": 1, "FailureAction": "pause", "Monitor": 5 * 10**9, "MaxFailureRatio": 0, "Order": "stop-first",
    }  # fmt: skip
    assert shown["Mode"] == {"Replicated": {"Replicas": 1}}


NAME = st.text("abcxyz019", min_size=1, max_size=6)
COUNT = st.integers(0, 2**40)
TEXTS = st.lists(st.text("abc =", min_size=1, max_size=6), max_size=2)
MAP = st.dictionaries(NAME, st.text(max_size=4).filter(lambda text: "\0" not in text), max_size=2)
PORT = st.fixed_dictionaries(
    {"TargetPort": st.integers(1, 65535)},
    optional={"Protocol": st.sampled_from(["tcp", "udp", "sctp"]), "PublishMode": st.sampled_from(["ingress", "host"])},
)
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "Parallelism": COUNT, "Delay": COUNT, "Monitor": COUNT, "MaxFailureRatio": st.floats(0, 1),
        "FailureAction": st.sampled_from(["pause", "continue", "rollback"]),
        "Order": st.sampled_from(["stop-first", "start-first"]),
    },
)  # fmt: skip
CONTAINER = st.fixed_dictionaries(
    {"Image": NAME},
    optional={
        "Labels": MAP, "Command": TEXTS, "Args": TEXTS, "Hostname": NAME, "Env": TEXTS, "Dir": NAME, "User": NAME,
        "Groups": TEXTS, "Init": st.booleans(), "StopSignal": NAME, "TTY": st.booleans(), "OpenStdin": st.booleans(),
        "ReadOnly": st.booleans(), "StopGracePeriod": st.integers(0, 100).map(lambda seconds: seconds * 10**9),
        "Hosts": st.lists(st.builds("1.2.3.{} {}".format, st.integers(0, 255), NAME), max_size=2),
        "DNSConfig": st.fixed_dictionaries({}, optional={"Nameservers": TEXTS, "Search": TEXTS, "Options": TEXTS}),
        "Sysctls": MAP, "CapabilityAdd": TEXTS, "CapabilityDrop": TEXTS,
        "Ulimits": st.lists(st.fixed_dictionaries({"Name": NAME, "Hard": COUNT, "Soft": COUNT}), max_size=2),
        "Privileges": st.fixed_dictionaries({"NoNewPrivileges": st.booleans()}),
    },
)  # fmt: skip
TEMPLATE = st.fixed_dictionaries(
    {"ContainerSpec": CONTAINER},
    optional={
        "Resources": st.fixed_dictionaries(
            {}, optional={"Limits": st.fixed_dictionaries({"Pids": COUNT, "MemoryBytes": st.integers(4 << 20, 2**40)})}
        ),
        "RestartPolicy": st.fixed_dictionaries(
            {}, optional={"Condition": st.sampled_from(["none", "on-failure", "any"]), "Delay": COUNT, "Window": COUNT,
                          "MaxAttempts": COUNT}
        ),
        "Placement": st.fixed_dictionaries({"MaxReplicas": COUNT, "Constraints": st.just(["node.role == manager"])}),
        "Networks": st.lists(st.fixed_dictionaries({"Target": NAME, "Aliases": TEXTS, "DriverOpts": MAP}), max_size=2,
                             unique_by=lambda network: network["Target"]),
        "LogDriver": st.fixed_dictionaries({"Name": NAME, "Options": MAP}),
        "ForceUpdate": COUNT,
    },
)  # fmt: skip
SPEC = st.fixed_dictionaries(
    {"Name": NAME, "TaskTemplate": TEMPLATE},
    optional={
        "Labels": MAP, "UpdateConfig": POLICY, "RollbackConfig": POLICY,
        "Mode": st.sampled_from([{"Replicated": {"Replicas": 0}}, {"Replicated": {"Replicas": 7}}, {"Global": {}}]),
        "EndpointSpec": st.fixed_dictionaries(
            {}, optional={"Mode": st.just("vip"), "Ports": st.lists(PORT, max_size=2)}
        ),
    },
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(SPEC)
def test_any_description_comes_back(body):
    assert [path for path in lost(body, returned(body, defaults=True)) if "Monitor" not in path] == []
    assert returned(returned(body)) == returned(body)


SERVICE = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}


def changed(path, value):
    """Return the body of a service with one field set."""
    body = json.loads(json.dumps(SERVICE))
    *folders, name = path.split(".")
    at = body
    for each in folders:
        at = at.setdefault(each, {})
    at[name] = value
    return body


GRPC = "rpc error: code = InvalidArgument desc = "
REFUSED = [
    # As dockerd says it.
    ("Name", "bad name", f"{GRPC}name must be valid as a DNS name component"),
    ("Name", "a" * 64, f"{GRPC}name must be 63 characters or fewer"),
    ("TaskTemplate.ContainerSpec", None, "mismatched Runtime and *Spec fields"),
    ("TaskTemplate.ContainerSpec.Image", "", f"{GRPC}ContainerSpec: image reference must be provided"),
    ("TaskTemplate.ContainerSpec.Image", "a b", f'{GRPC}ContainerSpec: "a b" is not a valid repository/tag'),
    ("TaskTemplate.Runtime", "bogus", "unsupported runtime"),
    ("TaskTemplate.RestartPolicy.Condition", "bogus", 'invalid RestartCondition: "bogus"'),
    ("TaskTemplate.Placement.Constraints", ["bogus"],
     "rpc error: code = Unknown desc = constraint expected one operator from ==, !="),
    ("TaskTemplate.Placement.Constraints", ["a b == c"], "rpc error: code = Unknown desc = key 'a b' is invalid"),
    ("TaskTemplate.Placement.Constraints", ["node.id == "], "rpc error: code = Unknown desc = value '' is invalid"),
    ("TaskTemplate.Resources.Limits.MemoryBytes", 1 << 20,
     f"{GRPC}invalid memory value 1048576: Must be at least 4MiB"),
    ("TaskTemplate.Networks", [{"Target": "n"}] * 2,
     "TaskTemplate.Networks: name of n is there twice; put all aliases into one"),
    ("TaskTemplate.Resources.Reservations.NanoCPUs", 10, f"{GRPC}invalid cpu value 1e-08: Must be at least 0.001"),
    ("TaskTemplate.ContainerSpec.Mounts", [{"Type": "bogus", "Target": "/x"}], 'invalid MountType: "bogus"'),
    ("TaskTemplate.ContainerSpec.Mounts", [{"Type": "tmpfs", "Target": "/x"}] * 2,
     f"{GRPC}ContainerSpec: duplicate mount point: /x"),
    ("TaskTemplate.ContainerSpec.Secrets", [{"SecretName": "a", "File": {"Name": "a"}}],
     f"{GRPC}malformed secret reference"),
    ("TaskTemplate.ContainerSpec.Configs", [{"ConfigName": "a", "ConfigID": "b"}],
     f"{GRPC}malformed config reference"),
    ("Mode", {"Global": {}, "Replicated": {}}, "must specify only one service mode"),
    ("UpdateConfig.FailureAction", "bogus", "unrecognized update failure action bogus"),
    ("UpdateConfig.Order", "bogus", "unrecognized update order bogus"),
    ("UpdateConfig.Delay", -1, f"{GRPC}TaskSpec: update-delay cannot be negative"),
    ("RollbackConfig.Monitor", -1, f"{GRPC}TaskSpec: update-monitor cannot be negative"),
    ("UpdateConfig.MaxFailureRatio", 3,
     f"{GRPC}TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1"),
    ("UpdateConfig.MaxFailureRatio", "x", "UpdateConfig.MaxFailureRatio: a number is wanted"),
    ("EndpointSpec.Mode", "bogus", 'invalid resolution mode: "bogus"'),
    ("EndpointSpec", {"Mode": "dnsrr", "Ports": [{"TargetPort": 1}]},
     f"{GRPC}EndpointSpec: port published with ingress mode can't be used with dnsrr mode"),
    ("EndpointSpec.Ports", [{"TargetPort": 1, "PublishedPort": 5}, {"TargetPort": 2, "PublishedPort": 5}],
     f"{GRPC}EndpointSpec: duplicate published ports provided"),
    ("EndpointSpec.Ports", [{"TargetPort": 1, "Protocol": "x"}], 'invalid protocol value "x"'),
    # What dockerd takes, and this engine can't keep: by the field's name.
    ("TaskTemplate.Runtime", "plugin", "TaskTemplate.Runtime: this engine's tasks are containers, and no plugins"),
    ("TaskTemplate.PluginSpec", {"Name": "x"}, "TaskTemplate.PluginSpec: this engine's swarm has no such setting"),
    ("TaskTemplate.ContainerSpec.Privileges", {"CredentialSpec": {"File": "x"}},
     "TaskTemplate.ContainerSpec.Privileges.CredentialSpec: this engine's swarm has no such setting"),
    ("TaskTemplate.ContainerSpec.Privileges", {"Seccomp": {"Mode": "x"}},
     "TaskTemplate.ContainerSpec.Privileges.Seccomp.Mode: 'x' is none of default, unconfined, custom"),
    ("TaskTemplate.ContainerSpec.Privileges", {"Seccomp": {"Mode": "custom", "Profile": "?"}},
     "TaskTemplate.ContainerSpec.Privileges.Seccomp.Profile: a profile is JSON in base64"),
    ("TaskTemplate.ContainerSpec.Privileges", {"AppArmor": {"Mode": "x"}},
     "TaskTemplate.ContainerSpec.Privileges.AppArmor.Mode: 'x' is none of default, disabled"),
    ("TaskTemplate.ContainerSpec.StopGracePeriod", 5,
     "TaskTemplate.ContainerSpec.StopGracePeriod: this engine counts whole seconds, not 5 ns"),
    ("TaskTemplate.ContainerSpec.StopGracePeriod", -5,
     "TaskTemplate.ContainerSpec.StopGracePeriod: a time can't be negative"),
    ("TaskTemplate.ContainerSpec.Isolation", "hyperv",
     "TaskTemplate.ContainerSpec.Isolation: containers of Linux have no other isolation than `default`, not 'hyperv'"),
    ("TaskTemplate.ContainerSpec.Hosts", ["1.2.3.4"],
     "TaskTemplate.ContainerSpec.Hosts: '1.2.3.4' has no name; a line is an address and names"),
    ("TaskTemplate.ContainerSpec.Secrets", [{"SecretName": "a", "SecretID": "b", "File": {"Name": "a", "UID": "root"}}],
     "TaskTemplate.ContainerSpec.Secrets.File.UID: 'root' is no number of a user or group"),
    ("TaskTemplate.Resources.Reservations.GenericResources", [{"NamedResourceSpec": {"Kind": "gpu", "Value": "a"}}],
     "TaskTemplate.Resources.Reservations.GenericResources.NamedResourceSpec: this engine's swarm has no such setting"),
    ("TaskTemplate.Resources.Reservations.GenericResources", [{"DiscreteResourceSpec": {"Kind": "gpu"}}],
     "TaskTemplate.Resources.Reservations.GenericResources: a kind, and how many, are wanted"),
    ("EndpointSpec.Ports", [{"TargetPort": 1, "Name": "http"}],
     "EndpointSpec.Ports.Name: this engine's swarm has no such setting"),
    ("EndpointSpec.Ports", [{"TargetPort": 1, "PublishMode": "x"}], 'EndpointSpec.Ports.PublishMode: "x" is no mode'),
    ("EndpointSpec.Ports", [{"TargetPort": 70000}], "EndpointSpec.Ports.TargetPort: 70000 is no port"),
    ("Mode.Replicated.Replicas", -1, "Mode.Replicated.Replicas: it can't be negative"),
    ("Novelty", {"x": [1]}, "ServiceSpec.Novelty: this engine's swarm has no such setting"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_what_can_t_be_is_refused(path, value, message):
    with pytest.raises(MobyError) as caught:
        read_service(changed(path, value), Names({}))
    assert caught.value.message == message
    assert status_of(caught.value) == (500 if "Unknown" in message else 400)


def test_jobs_are_not_updated_step_by_step():
    for name, word in (("UpdateConfig", "an update"), ("RollbackConfig", "a rollback")):
        with pytest.raises(MobyError, match=f"Jobs may not have {word} config"):
            read_service(SERVICE | {"Mode": {"GlobalJob": {}}, name: {"Parallelism": 1}}, Names({}))


def test_what_says_nothing_is_not_refused():
    nothing = {"Novelty": {"x": [None, 0, "", {}]}, "Labels": None, "Networks": []}
    assert read_service(SERVICE | nothing, Names({})) == read_service(SERVICE, Names({}))


def test_privileges_come_back():
    asked = {
        "CredentialSpec": None,
        "SELinuxContext": {"Disable": False, "User": "u", "Role": "r", "Type": "t", "Level": "l"},
        "Seccomp": {"Mode": "custom", "Profile": "e30="},
        "AppArmor": {"Mode": "disabled"},
        "NoNewPrivileges": True,
    }
    assert show_privileges(read_privileges(asked, "P")) == asked
    unconfined = {"Seccomp": {"Mode": "unconfined"}, "SELinuxContext": {"Disable": True}}
    assert lost(unconfined, show_privileges(read_privileges(unconfined, "P"))) == []
    assert show_privileges(("systempaths=unconfined",)) is None


def test_an_object_that_says_little_is_as_docker_takes_it():
    assert read_policy(None, "U") == UpdatePolicy()
    assert read_policy({}, "U") == UpdatePolicy(parallelism=0)
    assert read_policy({"Monitor": 0}, "U").monitor_ns == 5 * 10**9
    assert read_container({"Image": "x", "Command": [], "Args": None}) == read_container({"Image": "x"})
    assert read_endpoint_spec(None)[0] == "vip"


def test_processors_by_either_name():
    (found,) = read_placement({"Platforms": [{"OS": "linux", "Architecture": "x86_64"}]}).platforms
    assert (found.os, found.architecture) == ("linux", "amd64")


def service(**fields):
    spec = ServiceSpec("web", ContainerConfig("x"), **fields)
    return Service("a" * 25, spec, "t1", 5, created_ns=10**18, updated_ns=2 * 10**18)


def test_a_service_is_shown():
    from attrs import evolve

    update = UpdateStatus(UpdateState.PAUSED, 10**18, 2 * 10**18, "why")
    found = show_service(
        evolve(service(application="shop"), previous=service().spec, update=update, addresses={"n": "10.0.0.2/24"}),
        Names({}),
    )
    assert (found["ID"], found["Version"]) == ("a" * 25, {"Index": 5})
    assert found["Spec"]["Labels"] == {"com.docker.stack.namespace": "shop"}
    assert found["PreviousSpec"]["Name"] == "web"
    assert found["UpdateStatus"] == {
        "State": "paused", "StartedAt": "2001-09-09T01:46:40Z", "CompletedAt": "2033-05-18T03:33:20Z", "Message": "why",
    }  # fmt: skip
    assert found["Endpoint"]["VirtualIPs"] == [{"NetworkID": "n", "Addr": "10.0.0.2/24"}]
    assert "JobStatus" not in found


def task(state=TaskState.RUNNING, template="t1", desired=TaskState.RUNNING, **fields):
    spec = fields.pop("spec", service().spec)
    return Task("t" * 25, "a" * 25, spec, template, 3, 1, "n" * 25, desired, TaskStatus(state, **fields), 10**18)


def test_a_task_is_shown():
    from attrs import evolve

    found = task(container_id="c", pid=7, started_ns=1, time_ns=2 * 10**18, ports=(Port("udp", 53, "0.0.0.0", 5353),))
    shown = show_task(evolve(found, endpoints=(Endpoint("n", "net", ipv4_address="10.0.0.3", ipv4_prefix=24),)),
                      Names({}))  # fmt: skip
    assert (shown["Slot"], shown["NodeID"], shown["DesiredState"]) == (3, "n" * 25, "running")
    assert shown["UpdatedAt"] == "2033-05-18T03:33:20Z"
    assert shown["Status"] == {
        "Timestamp": "2033-05-18T03:33:20Z", "State": "running", "Message": "running",
        "ContainerStatus": {"ContainerID": "c", "PID": 7, "ExitCode": 0},
        "PortStatus": {
            "Ports": [{"Protocol": "udp", "TargetPort": 53, "PublishedPort": 5353, "PublishMode": "host"}]
        },
    }  # fmt: skip
    assert shown["NetworksAttachments"][0]["Addresses"] == ["10.0.0.3/24"]


def test_a_task_that_waits_has_no_container():
    shown = show_task(task(TaskState.PENDING, error="no suitable node"), Names({}))
    assert shown["Status"]["Err"] == "no suitable node"
    assert "ContainerStatus" not in shown["Status"]


def test_a_job_s_tasks_are_told_apart_by_their_run():
    job = service(mode=Mode.REPLICATED_JOB, replicas=2, completions=3)
    run = show_service(job, Names({}))["JobStatus"]["JobIteration"]
    assert show_task(task(spec=job.spec), Names({}))["JobIteration"] == run
    assert show_task(task(spec=job.spec, template="t0"), Names({}))["JobIteration"] != run
    assert show_task(task(spec=job.spec), Names({}))["Slot"] == 2, "docker counts those of jobs from 0"


def test_how_many_run():
    done = task(TaskState.COMPLETE, desired=TaskState.COMPLETE)
    cases = (
        (service(replicas=3), (task(), task(TaskState.FAILED)), (1, 3, 0)),
        (service(mode=Mode.GLOBAL), (task(), task(TaskState.FAILED), task(desired=TaskState.SHUTDOWN)), (2, 2, 0)),
        (service(mode=Mode.REPLICATED_JOB, replicas=2, completions=5), (done, task(template="t0")), (0, 2, 1)),
        (service(mode=Mode.GLOBAL_JOB), (done, task(desired=TaskState.COMPLETE)), (1, 1, 1)),
    )
    for found, tasks, counts in cases:
        shown = show_status(found, tasks)
        assert (shown["RunningTasks"], shown["DesiredTasks"], shown["CompletedTasks"]) == counts


# Nodes, secrets, configs, swarms ------------------------------------------------------------------------------------


def test_nodes():
    body = {"Name": "n", "Labels": {"z": "1"}, "Role": "manager", "Availability": "drain"}
    spec = read_node(body)
    assert spec == NodeSpec("n", {"z": "1"}, Role.MANAGER, Availability.DRAIN)
    description = NodeDescription("vm", generic={"gpu": 2}, plugins=frozenset({("log", "local")}), labels={"a": "b"})
    shown = show_node(Node("i", spec, description, NodeState.DOWN, message="m", address="1.2.3.4",
                           manager=Manager(True, False, "1.2.3.4:2377"), version=3))  # fmt: skip
    assert shown["Spec"] == body
    assert shown["Description"]["Platform"] == {"Architecture": "x86_64", "OS": "linux"}
    assert shown["Description"]["Engine"]["Plugins"] == [{"Type": "Log", "Name": "local"}]
    assert shown["Description"]["Resources"]["GenericResources"][0]["DiscreteResourceSpec"]["Value"] == 2
    assert shown["Status"] == {"State": "down", "Message": "m", "Addr": "1.2.3.4"}
    assert shown["ManagerStatus"] == {"Leader": True, "Reachability": "unreachable", "Addr": "1.2.3.4:2377"}
    for wrong, message in (
        (body | {"Role": "bogus"}, 'invalid Role: "bogus"'),
        (body | {"Availability": "bogus"}, 'invalid Availability: "bogus"'),
        (body | {"Availability": ""}, 'invalid Availability: ""'),
    ):
        with pytest.raises(Invalid) as caught:
            read_node(wrong)
        assert caught.value.message == message


def test_secrets_and_configs():
    body = {"Name": "s", "Labels": {"a": "b"}, "Data": "aGk=", "Templating": {"Name": "golang"}}
    secret, config = read_secret(body | {"Driver": {"Name": "d"}}), read_config(body)
    assert (secret.data, secret.driver, config.data, config.templating) == (b"hi", "d", b"hi", "golang")
    shown = show_secret(Secret("i", "s", 4, 1, 2, {"a": "b"}, "d", "golang"))
    assert shown["Spec"] == {
        "Name": "s", "Labels": {"a": "b"}, "Driver": {"Name": "d"}, "Templating": {"Name": "golang"},
    }  # fmt: skip
    assert show_config(Config("i", ConfigSpec("s", b"hi", {"a": "b"}, "golang"), 4, 1, 2))["Spec"] == body
    with pytest.raises(Invalid, match="illegal base64 data"):
        read_secret({"Name": "s", "Data": "!!!"})
    with pytest.raises(Invalid, match=r"SecretSpec\.Driver\.Options: this engine's swarm has no such setting"):
        read_secret({"Name": "s", "Driver": {"Name": "d", "Options": {"a": "b"}}})


STATE = ClusterState("n" * 25, True, False, "c" * 25, ClusterSpec(), 9, Tokens("w", "m"), "1.2.3.4:2377")


def test_swarms_come_back():
    shown = show_cluster(STATE)
    assert read_cluster(shown["Spec"]) == ClusterSpec()
    assert (shown["DefaultAddrPool"], shown["SubnetSize"]) == (None, 24)
    other = ClusterSpec({"a": "b"}, 3, 7 * 10**9, 4000 * 10**9, True)
    assert read_cluster(show_cluster(ClusterState("n", True, spec=other))["Spec"]) == other
    assert show_swarm(STATE)["JoinTokens"] == {"Worker": "w", "Manager": "m"}


def test_a_swarm_begins():
    spec, where = read_init({
        "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "127.0.0.1", "DataPathAddr": "", "DataPathPort": 0,
        "ForceNewCluster": False, "AutoLockManagers": True, "Availability": "drain", "DefaultAddrPool": ["10.1.0.0/16"],
        "SubnetSize": 26, "Spec": {"Raft": {"SnapshotInterval": 10000, "ElectionTick": 0}, "TaskDefaults": {}},
    })  # fmt: skip
    assert spec == ClusterSpec(autolock=True, address_pools=("10.1.0.0/16",), subnet_prefix=26)
    assert where == {"listen": "0.0.0.0:2377", "advertise": "127.0.0.1", "force": False}
    assert read_init({"ListenAddr": "[::]:2377"})[1]["listen"] == "[::]:2377"
    assert checked_listen("lo") == "lo"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'invalid ListenAddr "": invalid empty address'),
        ({"ListenAddr": "bogus"},
         "listen address must be an IP address or network interface (with optional port number)"),
        ({"ListenAddr": "0.0.0.0:x"}, "invalid ListenAddr \"0.0.0.0:x\": 'x' is no port"),
        ({"ListenAddr": "lo", "DataPathPort": 5},
         "InitRequest.DataPathPort: networks of this engine meet at port 4789"),
        ({"ListenAddr": "lo", "DataPathAddr": "x"},
         "InitRequest.DataPathAddr: this engine's swarm has no such setting"),
        ({"ListenAddr": "lo", "DefaultAddrPool": ["x"]}, "invalid CIDR address: x"),
        ({"ListenAddr": "lo", "SubnetSize": 31},
         "invalid SubnetSize: 31: a prefix of 29 bits at most leaves a network room for tasks"),
        ({"ListenAddr": "lo", "Spec": {"Name": "other"}}, 'Spec.Name: a swarm is called "default"'),
        ({"ListenAddr": "lo", "Spec": {"Raft": {"SnapshotInterval": 5}}},
         "Spec.Raft.SnapshotInterval: this engine's swarm has no such setting"),
        ({"ListenAddr": "lo", "Spec": {"CAConfig": {"ExternalCAs": [{"URL": "x"}]}}},
         "Spec.CAConfig.ExternalCAs: this engine's swarm has no such setting"),
        ({"ListenAddr": "lo", "Spec": {"CAConfig": {"NodeCertExpiry": 5}}},
         "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s"),
        ({"ListenAddr": "lo", "Spec": {"TaskDefaults": {"LogDriver": {"Name": "x"}}}},
         "Spec.TaskDefaults.LogDriver: this engine's swarm has no such setting"),
        ({"ListenAddr": "lo", "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": -1}}},
         "Spec.Orchestration.TaskHistoryRetentionLimit: it can't be negative"),
    ],
)  # fmt: skip
def test_swarms_that_can_t_be(body, message):
    with pytest.raises(MobyError) as caught:
        read_init(body)
    assert caught.value.message == message
