"""What is wrong with files is told with file, line, column, the key's path and what would fix it."""

import pytest
from moby_orchestrator.compose.files.reading import Asked, read

from moby.errors import Invalid, NotFound

CASES = [
    pytest.param("services: {a: {imag: x}}", "1:16: services.a.imag isn't known here", "write image", id="key"),
    pytest.param("services:\n  a:\n    image: [x]", "3:5: services.a.image must be text", "", id="type"),
    pytest.param("services: {a: {image: x, ports: yes}}", "1:26: services.a.ports must be a list", "", id="list"),
    pytest.param("services: {a: {image: x, ports: ['x']}}", "services.a.ports: 'x' is no port", "in quotes", id="port"),
    pytest.param("services: {a: {image: x, ports: ['1-2:1-3']}}", "differ in length", "", id="ranges"),
    pytest.param("services: {a: {image: x, ports: ['1/x']}}", "'x' is no protocol", "", id="protocol"),
    pytest.param("services: {a: {image: x, ports: ['z:1:1']}}", "'z' is no address", "", id="address"),
    pytest.param("services: {a: {image: x, volumes: ['aa::b']}}", "empty part between colons", "SOURCE", id="mount"),
    pytest.param("services: {a: {image: x, volumes: ['aa:/b:cc:dd']}}", "too many colons", "SOURCE", id="colons"),
    pytest.param("services: {a: {image: x, volumes: ['vol:/v']}}", "isn't among the volumes", "`vol:`", id="volume"),
    pytest.param("services: {a: {image: x, networks: [n]}}", "networks.n isn't among", "`n:`", id="network"),
    pytest.param("services: {a: {image: x, secrets: [s]}}", "isn't among the secrets", "", id="secret"),
    pytest.param(
        "services: {a: {image: x, depends_on: [b]}}", "depends_on.b isn't there", "service b", id="dependency"
    ),
    pytest.param("services: {a: {restart: always}}", "neither an image nor a build", "add `image:`", id="image"),
    pytest.param("services: {a: {image: x, image: y}}", "1:26: key 'image' again", "keep one", id="twice"),
    pytest.param("services: {a: {image: '${A'}}", "no valid use of a variable", "$$", id="variable"),
    pytest.param("services: {a: {image: '${A:?say it}'}}", "required variable A", "set A", id="required"),
    pytest.param("services: {a: {image: x, scale: '${A-x}'}}", "'x' is no whole number", "", id="number"),
    pytest.param("services: {a: {image: x, tty: '${A-x}'}}", "neither true nor false", "", id="truth"),
    pytest.param("services: {a: {image: x, cpus: '${A-x}'}}", "'x' is no number", "", id="cpus"),
    pytest.param("services: {a: {image: x, cpus: 1e99}}", "cpus: 1e+99 is no number", "", id="cpus-3"),
    pytest.param("services: {a: {image: x, cpus: y}}", "cpus: 'y' is no number", "", id="cpus-4"),
    pytest.param("services: {a: {image: x, pids_limit: y}}", "pids_limit: 'y' is no whole number", "", id="pids-2"),
    pytest.param("services: {a: {image: x, mem_limit: much}}", "mem_limit: 'much' is no size", "", id="size"),
    pytest.param("services: {a: {image: x, stop_grace_period: 1}}", "stop_grace_period must be text", "", id="span"),
    pytest.param("services: {a: {image: x, stop_grace_period: 1x}}", "is no duration", "", id="duration"),
    pytest.param("services: {a: {image: x, command: 'a \"b'}}", "isn't closed", "", id="words"),
    pytest.param("services: {a: {image: x, command: 'a (b)'}}", "a parenthesis", "", id="parenthesis"),
    pytest.param("services: {a: {image: x, extra_hosts: [a]}}", "has no address", "", id="host"),
    pytest.param("services: {a: {image: x, extends: a}}", "in a circle", "", id="circle"),
    pytest.param("services: {a: {image: x, extends: bb}, b: {image: x}}", "extends bb", "write b", id="extends"),
    pytest.param("services: {a: {extends: {file: no.yaml, service: b}}}", "no.yaml isn't there", "", id="no-file"),
    pytest.param("services: {a: {extends: {file: 'https://x/y', service: b}}}", "aren't fetched", "", id="remote"),
    pytest.param("services: {a: {image: x, links: [b]}, b: {image: x, links: [a]}}", "is a circle", "", id="circles"),
    pytest.param("include: [compose.yaml]\nservices: {a: {image: x}}", "include each other", "", id="includes"),
    pytest.param("include: {a: b}", "include is a list", "", id="include"),
    pytest.param("include: [{env_file: x}]", "an include without a path", "add `path:`", id="include-path"),
    pytest.param("services:\n\ta: {}", "2:1: no valid YAML", "spaces", id="tab"),
    pytest.param("services: {a: *b}", "no valid YAML", "", id="alias"),
    pytest.param("services: {a: {image: ${A}}}", "1:24: no valid YAML", "quote it", id="unquoted"),
    pytest.param("services:\n  a: b: c", "2:7: no valid YAML", "quote a value", id="colon"),
    pytest.param("a: 'x\nb: 1", "; it begins at", "end what is quoted", id="quote"),
    pytest.param("a:\n   b: 1\n  c: 2", "; it begins at", "alike", id="indentation"),
    pytest.param("services:\n  a: \x01", "2:6: no valid YAML: a control character", "", id="control"),
    pytest.param("- a", "1:1: the top of a compose file is a mapping", "", id="top"),
    pytest.param("1: a", "isn't text", "quote it", id="number-key"),
    pytest.param("a: {<<: 1}", "what `<<` merges is a mapping", "", id="merge"),
    pytest.param("a: !!int x", "is no whole number", "", id="tag"),
    pytest.param("a: !what x", "isn't known", "remove the tag", id="tags"),
    pytest.param("a: &a [*a]", "inside its own anchor", "", id="endless"),
    pytest.param("", "empty compose file", "services", id="empty"),
    pytest.param("services: {a: {image: x, healthcheck: {test: [x]}}}", "CMD", "", id="health"),
    pytest.param("services: {a: {image: x, network_mode: host, networks: [n]}}", "beside networks", "", id="mode"),
    pytest.param("services: {a: {image: x, scale: 2, deploy: {replicas: 3}}}", "differs from deploy", "", id="scale"),
    pytest.param("services: {a: {image: x, container_name: c, scale: 2}}", "the name of 2", "", id="name"),
    pytest.param(
        "services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {pids: 2}}}}}", "differs", "", id="cpus-2"
    ),
    pytest.param("secrets: {s: {file: a, environment: b}}\nservices: {}", "file and env", "keep one", id="secrets"),
    pytest.param("configs: {s: {}}\nservices: {}", "has none of file", "add one", id="configs"),
    pytest.param("volumes: {v: {external: true, driver: x}}\nservices: {}", "is external", "driver", id="external"),
    pytest.param("services: {a: {image: x, env_file: no.env}}", "no.env not found", "required: false", id="env-file"),
    pytest.param("services: {a: {image: x, label_file: no.l}}", "label file", "", id="label-file"),
    pytest.param("services: {a: {image: x, devices: ['a:b:c:d']}}", "too many colons", "", id="device"),
    pytest.param("services: {a: {build: {context: ., ssh: [x]}}}", "is no ID=PATH", "", id="ssh"),
    pytest.param(
        "services: {a: {build: {context: ., dockerfile: x, dockerfile_inline: y}}}",
        "both dockerfile",
        "keep one",
        id="inline",
    ),
    pytest.param(
        "services: {a: {platform: linux/s390x, build: {context: ., platforms: [linux/amd64]}}}",
        "lack the service's own",
        "add it",
        id="platforms",
    ),
    pytest.param("services: {a: {image: x, network_mode: 'service:b'}}", "names the service b", "", id="mode-of"),
    pytest.param(
        "services: {a: {build: {context: ., secrets: [s]}}}", "isn't among the secrets", "", id="build-secret"
    ),
    pytest.param(
        "services: {a: {image: x, develop: {watch: [{path: ., action: sync}]}}}",
        "without a target",
        "add `target:`",
        id="develop",
    ),
    pytest.param("services: {a: {build: {context: ., additional_contexts: [x]}}}", "no NAME=VALUE", "", id="contexts"),
]


def reading(tmp_path, text, **asked):
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    return read(Asked(files=(str(file),), **asked), {})


@pytest.mark.parametrize(("text", "message", "fix"), CASES)
def test_told_with_its_place(tmp_path, text, message, fix):
    with pytest.raises(Invalid) as caught:
        reading(tmp_path, text)
    told = str(caught.value)
    assert message in told
    assert fix in told
    assert caught.value.problems[0].where is None or "compose.yaml" in told or ".env" in told or "no.l" in told


def test_all_at_once(tmp_path):
    with pytest.raises(Invalid) as caught:
        reading(tmp_path, "services:\n  a: {image: x, tyt: true}\n  b: {image: 1}\nnetwork: {}\n")
    assert [each.where.line for each in caught.value.problems] == [2, 3, 4]


def test_project_names(tmp_path):
    with pytest.raises(Invalid, match="can't be a project's name"):
        reading(tmp_path, "services: {a: {image: x}}", name="Up")
    assert reading(tmp_path, "name: My.App\nservices: {a: {image: x}}").name == "myapp"


def test_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="no configuration file provided"):
        read(Asked(), {})
    with pytest.raises(NotFound, match="No such file"):
        read(Asked(files=("no.yaml",)), {})
    with pytest.raises(Invalid, match="couldn't find env file"):
        reading(tmp_path, "services: {a: {image: x}}", env_files=("no.env",))
    with pytest.raises(NotFound, match="no such service: b"):
        reading(tmp_path, "services: {a: {image: x}}").selected(["b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a b=c", "1:1"), ("A='x", "that nothing ends"), ("=x", "a value without a name"), ("A=${", "no valid use")],
)
def test_files_of_variables(tmp_path, text, message):
    (tmp_path / ".env").write_text(text)
    with pytest.raises(Invalid) as caught:
        reading(tmp_path, "services: {a: {image: x}}")
    assert message in str(caught.value)
