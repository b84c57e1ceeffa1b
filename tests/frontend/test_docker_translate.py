"""Docker's JSON and containers' configurations: nothing is lost on the way in and out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_frontend.docker.translate.config import read_commit, read_create, show_create
from moby_frontend.docker.translate.limits import read_update

from moby.contracts.containers import ContainerConfig, MountRequest
from moby.errors import Invalid

LATEST = (1, 51)
NAME = st.text("abcxyz019_-", min_size=1, max_size=6)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
TEXTS = st.lists(TEXT, max_size=3)
MAP = st.dictionaries(TEXT, TEXT, max_size=3)
NUMBER = st.integers(-(2**63), 2**63 - 1)
PATH = st.lists(NAME, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
PORT = st.builds("{}/{}".format, st.integers(0, 65535), st.sampled_from(["tcp", "udp", "sctp"]))


def some(**fields):
    """An object that has any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


BIND = st.one_of(
    st.builds("{}:{}".format, PATH, PATH),
    st.builds("{}:{}:{}".format, PATH, PATH, st.sampled_from(["ro", "rw", "z", "ro,Z", "rshared", "ro,rslave", "rro"])),
    st.builds("{}:{}:{}".format, NAME, PATH, st.sampled_from(["ro", "nocopy", "rw,nocopy"])),
    st.builds("{}:{}".format, NAME, PATH),
    PATH,
)
RATE = st.lists(some(Path=TEXT, Rate=NUMBER), max_size=2)
MOUNT = st.one_of(
    st.builds(
        lambda target, more, options: {"Type": "bind", "Target": target, **more, **options},
        PATH,
        some(Source=PATH, ReadOnly=st.just(True)),
        some(BindOptions=some(Propagation=NAME, NonRecursive=st.just(True), CreateMountpoint=st.just(True))),
    ),
    st.builds(
        lambda target, more, options: {"Type": "volume", "Target": target, **more, **options},
        PATH,
        some(Source=NAME),
        some(
            VolumeOptions=some(
                NoCopy=st.just(True), Labels=MAP, Subpath=TEXT, DriverConfig=some(Name=NAME, Options=MAP)
            )
        ),
    ),
    st.builds(
        lambda target, options: {"Type": "tmpfs", "Target": target, **options},
        PATH,
        some(
            TmpfsOptions=some(
                SizeBytes=NUMBER, Mode=NUMBER, Options=st.lists(st.lists(NAME, min_size=1, max_size=2), max_size=2)
            )
        ),
    ),
)
HEALTH = some(Test=TEXTS, Interval=NUMBER, Timeout=NUMBER, StartPeriod=NUMBER, StartInterval=NUMBER, Retries=NUMBER)
LIMITS = dict(  # noqa: C408 - as the functions beside it
    CpuShares=NUMBER,
    Memory=NUMBER,
    NanoCpus=NUMBER,
    CgroupParent=TEXT,
    BlkioWeight=NUMBER,
    BlkioWeightDevice=st.lists(some(Path=TEXT, Weight=NUMBER), max_size=2),
    BlkioDeviceReadBps=RATE,
    BlkioDeviceWriteBps=RATE,
    BlkioDeviceReadIOps=RATE,
    BlkioDeviceWriteIOps=RATE,
    CpuPeriod=NUMBER,
    CpuQuota=NUMBER,
    CpuRealtimePeriod=NUMBER,
    CpuRealtimeRuntime=NUMBER,
    CpusetCpus=TEXT,
    CpusetMems=TEXT,
    Devices=st.lists(some(PathOnHost=PATH, PathInContainer=PATH, CgroupPermissions=TEXT), max_size=2),
    DeviceCgroupRules=TEXTS,
    KernelMemoryTCP=NUMBER,
    MemoryReservation=NUMBER,
    MemorySwap=NUMBER,
    DeviceRequests=st.lists(
        some(Driver=TEXT, Count=NUMBER, DeviceIDs=TEXTS, Capabilities=st.lists(TEXTS, max_size=2), Options=MAP),
        max_size=2,
    ),
    MemorySwappiness=NUMBER.filter(lambda value: value != -1),
    OomKillDisable=st.booleans(),
    PidsLimit=st.integers(1, 2**63 - 1),
    Ulimits=st.lists(some(Name=TEXT, Hard=NUMBER, Soft=NUMBER), max_size=2),
)
HOST = some(
    Binds=st.lists(BIND, max_size=3),
    Tmpfs=st.dictionaries(PATH, st.sampled_from(["", "size=1m", "ro,size=2k"]), max_size=2),
    Mounts=st.lists(MOUNT, max_size=3),
    LogConfig=some(Type=TEXT, Config=MAP),
    NetworkMode=TEXT.filter(lambda each: each != ""),
    AutoRemove=st.booleans(),
    VolumeDriver=TEXT,
    VolumesFrom=TEXTS,
    PortBindings=st.dictionaries(PORT, st.lists(some(HostIp=TEXT, HostPort=TEXT), min_size=1, max_size=2), max_size=2),
    RestartPolicy=st.builds(
        lambda name, count: {"Name": name, "MaximumRetryCount": count},
        st.sampled_from(["no", "always", "on-failure"]),
        NUMBER,
    ),
    ConsoleSize=st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(list),
    Annotations=MAP,
    CapAdd=TEXTS,
    CapDrop=TEXTS,
    CgroupnsMode=TEXT,
    Dns=TEXTS,
    DnsOptions=TEXTS,
    DnsSearch=TEXTS,
    ExtraHosts=TEXTS,
    GroupAdd=TEXTS,
    IpcMode=TEXT,
    Links=TEXTS,
    OomScoreAdj=NUMBER,
    PidMode=TEXT,
    Privileged=st.booleans(),
    PublishAllPorts=st.booleans(),
    ReadonlyRootfs=st.booleans(),
    SecurityOpt=TEXTS,
    StorageOpt=MAP,
    UTSMode=TEXT,
    UsernsMode=TEXT,
    ShmSize=NUMBER,
    Sysctls=MAP,
    Runtime=TEXT,
    MaskedPaths=TEXTS,
    ReadonlyPaths=TEXTS,
    Init=st.booleans(),
    **LIMITS,
)
ENDPOINT = some(
    IPAMConfig=some(IPv4Address=TEXT, IPv6Address=TEXT, LinkLocalIPs=TEXTS),
    Links=TEXTS,
    Aliases=TEXTS,
    MacAddress=TEXT,
    DriverOpts=MAP,
    GwPriority=NUMBER,
)
PORTS = st.dictionaries(PORT, st.just({}), max_size=3)
CREATE = st.builds(
    lambda image, fields: {"Image": image, **fields},
    NAME,
    some(
        Hostname=TEXT,
        Domainname=TEXT,
        User=TEXT,
        AttachStdin=st.booleans(),
        AttachStdout=st.booleans(),
        AttachStderr=st.booleans(),
        ExposedPorts=PORTS,
        Tty=st.booleans(),
        OpenStdin=st.booleans(),
        StdinOnce=st.booleans(),
        Env=TEXTS,
        Cmd=TEXTS,
        Healthcheck=HEALTH,
        Entrypoint=TEXTS,
        WorkingDir=TEXT,
        Volumes=st.dictionaries(PATH, st.just({}), max_size=2),
        NetworkDisabled=st.booleans(),
        MacAddress=TEXT,
        Labels=MAP,
        StopSignal=TEXT,
        StopTimeout=NUMBER,
        Shell=TEXTS,
        HostConfig=HOST,
        NetworkingConfig=some(EndpointsConfig=st.dictionaries(NAME, ENDPOINT, max_size=2)),
    ),
)


MAPS = frozenset(
    {
        "Annotations",
        "Config",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Options",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    }
)
"""Fields whose names are the user's: none of them says nothing."""


def meaning(value):
    """What JSON says, without what says nothing: Go's decoder reads null, zero and what isn't there alike."""
    if isinstance(value, list | tuple):
        return [meaning(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: list(map(list, value[key])) if key == "Options" and isinstance(value[key], list) else
             value[key] if key in MAPS else meaning(each) for key, each in value.items()}  # fmt: skip
    return {key: each for key, each in found.items() if each not in (None, "", 0, False, {}, [], [0, 0])}


EXACT = ("Cmd", "Entrypoint")


class TestAlgebra:
    @pytest.mark.slow
    @settings(max_examples=150, deadline=None)
    @given(CREATE)
    def test_what_was_asked_for_is_shown(self, body):
        shown = show_create(read_create(body), LATEST)
        asked, told = meaning(body), meaning(shown)
        wanted = {"NetworkMode": "default", "RestartPolicy": {"Name": "no"}, **asked.pop("HostConfig", {})}
        assert told.pop("HostConfig") == wanted
        endpoints = asked.pop("NetworkingConfig", {}), told.pop("NetworkingConfig", {})
        assert endpoints[0] == endpoints[1]
        assert asked == told

    @pytest.mark.slow
    @settings(max_examples=100, deadline=None)
    @given(CREATE)
    def test_what_is_shown_asks_for_the_same(self, body):
        config = read_create(body)
        assert read_create(show_create(config, LATEST)) == config

    @pytest.mark.parametrize("field", EXACT)
    @pytest.mark.parametrize("value", [None, [], ["a"]])
    def test_none_and_empty_are_apart(self, field, value):
        shown = show_create(read_create({"Image": "x", field: value}), LATEST)
        assert shown[field] == value

    def test_nothing_is_dockers_nothing(self):
        assert read_create({"Image": "x"}) == ContainerConfig("x")


def bind(**options):
    return {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": options}


class TestVersions:
    """What dockerd 26.1 makes of a body by version of the API."""

    @pytest.mark.parametrize(
        ("host", "since", "older", "newer"),
        [
            ({"ConsoleSize": [1, 2]}, 42, [0, 0], [1, 2]),
            ({"Annotations": {"a": "b"}}, 43, None, {"a": "b"}),
            ({"IpcMode": ""}, 40, "shareable", ""),
            ({"IpcMode": "private"}, 40, "private", "private"),
            ({"KernelMemoryTCP": 7}, 40, None, 7),
            (
                {"Mounts": [bind(NonRecursive=True)]},
                40,
                [{"Type": "bind", "Source": "/a", "Target": "/b"}],
                [bind(NonRecursive=True)],
            ),
            (
                {"Mounts": [bind(CreateMountpoint=True)]},
                42,
                [{"Type": "bind", "Source": "/a", "Target": "/b"}],
                [bind(CreateMountpoint=True)],
            ),
            (
                {"Mounts": [{**bind(Propagation="rprivate"), "ReadOnly": True}]},
                44,
                [{**bind(Propagation="rprivate", ReadOnlyNonRecursive=True), "ReadOnly": True}],
                [{**bind(Propagation="rprivate"), "ReadOnly": True}],
            ),
        ],
    )
    def test_fields(self, host, since, older, newer):
        (field,) = host
        for version, wanted in (((1, since - 1), older), ((1, since), newer)):
            config = read_create({"Image": "x", "HostConfig": host}, version)
            assert show_create(config, LATEST)["HostConfig"].get(field) == wanted

    @pytest.mark.parametrize(("version", "wanted"), [((1, 43), 0), ((1, 44), 9)])
    def test_start_intervals(self, version, wanted):
        body = {"Image": "x", "Healthcheck": {"Test": ["CMD", "a"], "Interval": 5, "StartInterval": 9}}
        check = read_create(body, version).health
        assert (check.interval_ns, check.start_interval_ns) == (5, wanted)

    @pytest.mark.parametrize(
        ("mount", "since", "words"),
        [
            (
                {"Type": "volume", "Source": "v", "Target": "/b", "VolumeOptions": {"Subpath": "a"}},
                45,
                "VolumeOptions.Subpath needs API v1.45 or newer",
            ),
            (bind(ReadOnlyForceRecursive=True), 44, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"),
        ],
    )
    def test_what_is_newer_is_refused(self, mount, since, words):
        body = {"Image": "x", "HostConfig": {"Mounts": [mount]}}
        with pytest.raises(Invalid, match=f"^{words}$"):
            read_create(body, (1, since - 1))
        assert read_create(body, (1, since)).mounts


class TestForms:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("/a:/b", MountRequest("bind", "/b", "/a", create_source=True, spelled="/a:/b")),
            (
                "/a:/b:ro,z",
                MountRequest(
                    "bind",
                    "/b",
                    "/a",
                    read_only=True,
                    create_source=True,
                    relabel="z",
                    spelled="/a:/b:ro,z",
                ),
            ),
            (
                "/a:/b:rshared",
                MountRequest(
                    "bind",
                    "/b",
                    "/a",
                    propagation="rshared",
                    create_source=True,
                    spelled="/a:/b:rshared",
                ),
            ),
            ("v:/b:nocopy", MountRequest("volume", "/b", "v", no_copy=True, spelled="v:/b:nocopy")),
            ("/b", MountRequest("volume", "/b", spelled="/b")),
        ],
    )
    def test_binds(self, text, wanted):
        assert read_create({"Image": "x", "HostConfig": {"Binds": [text]}}).mounts == (wanted,)

    def test_tmpfs(self):
        (found,) = read_create({"Image": "x", "HostConfig": {"Tmpfs": {"/t": "ro,size=1m"}}}).mounts
        assert found == MountRequest("tmpfs", "/t", read_only=True, options=("ro", "size=1m"), spelled="ro,size=1m")

    def test_one_text_is_a_command_too(self):
        config = read_create({"Image": "x", "Cmd": "sh", "Entrypoint": "env"})
        assert (config.command, config.entrypoint) == (("sh",), ("env",))

    def test_words_that_are_null_are_empty(self):
        config = read_create({"Image": "x", "Cmd": ["sh", None], "Entrypoint": [None]})
        assert (config.command, config.entrypoint) == (("sh", ""), ("",))

    def test_names_of_any_case(self):
        config = read_create({"image": "x", "hostconfig": {"memory": 5, "binds": ["/a:/b"]}, "CMD": ["a"]})
        assert (config.image, config.resources.memory_bytes, config.command) == ("x", 5, ("a",))
        assert config.mounts[0].source == "/a"

    def test_a_health_check_keeps_what_was_not_said(self):
        check = read_create({"Image": "x", "Healthcheck": {"Interval": 5}}).health
        assert (check.test, check.interval_ns, check.retries) == ((), 5, 0)

    def test_updates_keep_what_is_zero(self):
        change = read_update({"Memory": 5, "CpuShares": 0, "PidsLimit": 0, "RestartPolicy": {"Name": ""}})
        assert change.resources == {"memory_bytes": 5, "pids_limit": 0}
        assert read_update({"PidsLimit": -2}).resources == {"pids_limit": 0}
        assert change.restart is None
        assert read_update({"RestartPolicy": {"Name": "always"}}).restart.name == "always"


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({}, "config cannot be empty in order to create a container"),
            ({"Cmd": []}, "no image is named"),
            (
                {"Image": 5},
                "cannot unmarshal number into Go struct field ContainerConfigWrapper.Config.Image of type string",
            ),
            ({"Image": "x", "Env": "A=b"}, "cannot unmarshal string into Go struct field .*Env of type array"),
            ({"Image": "x", "Env": [1]}, "cannot unmarshal number into Go struct field .*Env of type string"),
            ({"Image": "x", "Env": ["a\0b"]}, "NUL can't be in a text"),
            ({"Image": "x", "Tty": 1}, "cannot unmarshal number into Go struct field .*Tty of type bool"),
            ({"Image": "x", "Labels": []}, "cannot unmarshal array into Go struct field .*Labels of type object"),
            ({"Image": "x", "HostConfig": 1}, "cannot unmarshal number into Go struct field HostConfig of type object"),
            ({"Image": "x", "HostConfig": {"Memory": 1.5}}, "cannot unmarshal number .*Memory of type int64"),
            ({"Image": "x", "HostConfig": {"Memory": 1e8}}, "cannot unmarshal number .*Memory of type int64"),
            ({"Image": "x", "HostConfig": {"Memory": 2**63}}, "cannot unmarshal number .*Memory of type int64"),
            ({"Image": "x", "HostConfig": {"Memory": True}}, "cannot unmarshal bool .*Memory of type int64"),
            ({"Image": "x", "HostConfig": {"ConsoleSize": [1]}}, "two numbers are wanted"),
            ({"Image": "x", "HostConfig": {"ConsoleSize": [1, 99999]}}, "two numbers are wanted"),
            ({"Image": "x", "HostConfig": {"PortBindings": {"x": []}}}, 'invalid port specification: "x"'),
            (
                {"Image": "x", "HostConfig": {"PortBindings": {"99999/tcp": []}}},
                'invalid port specification: "99999/tcp"',
            ),
            ({"Image": "x", "HostConfig": {"Binds": ["a:b:c:d"]}}, "invalid volume specification: 'a:b:c:d'"),
            ({"Image": "x", "HostConfig": {"Binds": [None]}}, "invalid volume specification: ''"),
            ({"Image": "x", "HostConfig": {"Binds": [""]}}, "invalid volume specification: ''"),
            (
                {"Image": "x", "HostConfig": {"Binds": ["/a:b"]}},
                "'/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
            ),
            ({"Image": "x", "HostConfig": {"Binds": ["/a:b:ro"]}}, "mount path must be absolute"),
            ({"Image": "x", "HostConfig": {"Binds": ["/a:/"]}}, "destination can't be '/'"),
            ({"Image": "x", "HostConfig": {"Binds": ["/a:/b:xx"]}}, "^invalid mode: xx$"),
            ({"Image": "x", "HostConfig": {"Binds": ["/a:/b:ro,rw"]}}, "invalid mode: ro,rw"),
            ({"Image": "x", "HostConfig": {"Binds": ["/a:/b:shared,slave"]}}, "invalid mode: shared,slave"),
            ({"Image": "x", "HostConfig": {"Binds": ["v:/b:cached,consistent"]}}, "invalid mode: cached,consistent"),
            ({"Image": "x", "HostConfig": {"Binds": ["v:/b:copy"]}}, "invalid mode: copy"),
            (
                {"Image": "x", "HostConfig": {"Binds": ["/a:/b:nocopy"]}},
                "'/a:/b:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified",
            ),
            (
                {"Image": "x", "HostConfig": {"Binds": ["v:/b:ro,rshared"]}},
                "'v:/b:ro,rshared': invalid mount config for type \"volume\": field BindOptions must not be specified",
            ),
            ({"Image": "x", "HostConfig": {"Binds": ["/b:ro"]}}, "^invalid volume specification: '/b:ro'$"),
            (
                {"Image": "x", "HostConfig": {"Isolation": "hyperv"}},
                'Invalid isolation: "hyperv" - linux only supports',
            ),
            ({"Image": "x", "HostConfig": {"Tmpfs": {"t": ""}}}, "mount path must be absolute"),
            ({"Image": "x", "HostConfig": {"Mounts": [{"Type": "npipe", "Target": "/a"}]}}, "mount type unknown"),
            ({"Image": "x", "HostConfig": {"Mounts": [{"Type": "bind"}]}}, "field Target must not be empty"),
            (
                {
                    "Image": "x",
                    "HostConfig": {"Mounts": [{"Type": "bind", "Target": "/a", "TmpfsOptions": {"Mode": 1}}]},
                },
                'TmpfsOptions must not be specified on mount type "bind"',
            ),
            (
                {"Image": "x", "HostConfig": {"Mounts": [{"Type": "bind", "Target": "/a", "VolumeOptions": {}}]}},
                'VolumeOptions must not be specified on mount type "bind"',
            ),
            (
                {
                    "Image": "x",
                    "HostConfig": {
                        "Mounts": [{"Type": "tmpfs", "Target": "/a", "TmpfsOptions": {"Options": [["a", "b", "c"]]}}]
                    },
                },
                "an option is a name, or a name and a value",
            ),
        ],
    )
    def test_create(self, body, words):
        with pytest.raises(Invalid, match=words.replace("(", r"\(")):
            read_create(body)


def test_a_commit():
    body = {
        "Cmd": "x", "entrypoint": [], "Env": ["A=b"], "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}, "5/udp": {}},
        "Volumes": {"/v": {}}, "User": "ann", "WorkingDir": "/w", "OnBuild": ["RUN x"], "StopSignal": "INT",
        "Shell": ["ash"], "Healthcheck": {"Test": ["CMD", "x"], "Retries": 3}, "Hostname": "h", "Tty": None,
    }  # fmt: skip
    assert read_commit(body) == {
        "command": ("x",), "entrypoint": (), "environment": ("A=b",), "labels": {"l": "v"},
        "exposed_ports": ("5/udp", "80/tcp"), "volumes": ("/v",), "user": "ann", "working_directory": "/w",
        "on_build": ("RUN x",), "stop_signal": "INT", "shell": ("ash",),
        "healthcheck": {"Test": ["CMD", "x"], "Retries": 3},
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0, -1, -2, None])
def test_no_limit_of_processes_is_shown_as_none(limit):
    config = read_create({"Image": "x", "HostConfig": {"PidsLimit": limit}})
    assert show_create(config, LATEST)["HostConfig"]["PidsLimit"] is None


def test_a_swappiness_that_nobody_asked_for_is_none():
    from moby_frontend.docker.translate.limits import read_resources

    assert read_resources({"MemorySwappiness": -1}).memory_swappiness is None
    assert read_resources({"MemorySwappiness": 60}).memory_swappiness == 60
