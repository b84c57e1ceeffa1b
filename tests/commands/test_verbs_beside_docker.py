"""The distribution's own verbs and docker's command, at one engine: what they print and how they end is the same."""

import re
import shlex
import subprocess

import pytest
from clients.engine import SOCKET
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow

LINES = """
ps
ps --no-trunc
ps -a --filter name=looked --format "table {{.Names}}\\t{{.Image}}\\t{{.Command}}\\t{{.State}}"
ps -q --filter status=running
ps -a --filter label=a=b --format "{{.ID}} {{json .Labels}} {{upper .Names}}"
ps --filter nonesuch=1
container ls --format "{{.Names}}"
logs looked
logs --tail 1 looked
logs nonesuch
exec looked sh -c "echo in; echo err >&2; exit 5"
exec -e A=b -w /tmp looked sh -c "echo $A; pwd"
exec -d looked true
exec nonesuch true
exec -d nonesuch true
exec made true
exec -it looked true
inspect -f "{{.State.Status}} {{.Config.Image}} {{.Config.Labels}} {{.HostConfig.AutoRemove}}" looked
inspect -f "{{json .Config.Cmd}}" looked
inspect nonesuch
container inspect looked --format "{{.Name}}"
top looked
top looked -o pid,comm
diff looked
port looked
port looked 80
wait nonesuch
stop nonesuch
kill nonesuch
rm nonesuch
rm -f nonesuch
rm looked
pause nonesuch
unpause looked
rename nonesuch other
start nonesuch
start looked
volume ls
volume ls -q
volume ls --format "{{.Name}} {{.Driver}} {{.Scope}}"
volume inspect kept
volume inspect nonesuch
volume rm nonesuch
volume create kept
volume create a
volume create --driver nonesuch other
network ls
network ls --no-trunc -q
network inspect none
network inspect nonesuch
info --format "{{.Containers}} {{.OSType}}"
events --since 1h --until 0s --filter type=volume --format "{{.Action}} {{.Actor.ID}}"
events --since 1h --until 0s --filter type=volume
run --rm --network none localhost/box sh -c "echo out; echo err >&2; exit 7"
run --rm --network none localhost/box nonesuch
run --rm -it --network none localhost/box true
run --rm --network none localhost/box /etc
run --rm --network none -e A=b -w /tmp -u 1000 --read-only localhost/box sh -c "echo $A; pwd; id -u; touch /x"
run --rm --network none -h here --tmpfs /t:size=1m --mount type=volume,source=kept,target=/v localhost/box sh -c "hostname; ls -d /t /v"
run --rm --network nonesuch localhost/box true
run --rm --network none -v kept:/v:ro localhost/box touch /v/x
create --network none --name looked localhost/box
ps -a --format json --filter name=made
system df
system df --format "{{json .}}"
system df --format "table {{.Type}}\\t{{.Active}}"
system df -v
system prune --filter label=x --filter until=1h
system prune -a --volumes
system prune --volumes --filter until=1h
system prune -f --filter label=nonesuch
system prune -f --filter nonesuch=1
system info --format "{{.OSType}}"
system events --since 1h --until 0s --filter type=volume --format "{{.Action}}"
stats --no-stream nonesuch
stats --no-stream looked nonesuch
stats --no-stream made
stats --no-stream --no-trunc --format "{{.ID}} {{.Container}} {{.Name}} {{.NetIO}} {{.PIDs}}" looked
stats --no-stream -a --format "table {{.Name}}\\t{{.Container}}"
stats --no-stream --format json made
update looked
update -m 1k looked
update --restart nonesuch looked
update --restart on-failure:x looked
update -m 64m --memory-swap 128m --pids-limit 100 -c 512 looked made nonesuch
inspect -f "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuShares}}" looked
update --cpus 0.5 --restart on-failure:3 looked
inspect -f "{{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}" looked
commit nonesuch
commit looked localhost/x@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
""".strip().splitlines()  # noqa: E501


@pytest.fixture(scope="module")
def looked(engine):
    engine.verb("volume", "create", "--label", "x=y", "kept")
    script = "echo x >/tmp/new; echo out; echo err >&2; exec sleep 1000"
    engine.verb("run", "-d", "--network", "none", "--name", "looked", "-l", "a=b", "localhost/box", "sh", "-c", script)
    until(lambda: "sleep 1000" in engine.sandbox.processes().values(), "all of the script")
    until(lambda: "err" in engine.verb("logs", "looked").stderr, "what it said")
    engine.verb("create", "--network", "none", "--name", "made", "localhost/box")
    yield
    engine.verb("rm", "-f", "looked", "made", check=False)
    engine.verb("volume", "rm", "kept")


def said(done):
    """What a command said, without what is each command's own way of saying that it failed, and without ages."""
    errors = re.sub(r"^docker: (.*?)\.?$", r"\1", done.stderr, flags=re.M)
    errors = re.sub(r"\.?\n(See 'docker run --help'|Run 'docker run --help' for more information)\.?\n", "\n", errors)
    return ageless(done.stdout), ageless(errors)


def ageless(text):
    """Return a text without ages, which pass, and without the widths that they make columns have."""
    return re.sub(" {3,}", "   ", re.sub(r"(Less than a|\d+|About an?) (second|minute|hour)s?", "a while", text))


@pytest.mark.parametrize("line", LINES)
def test_it_is_as_docker_does_it(engine, looked, line):
    words = shlex.split(line)
    own = engine.verb(*words, check=False)
    docker = engine.sandbox.run("docker", "-H", f"unix://{SOCKET}", *words, check=False)
    assert said(own) == said(docker)
    assert own.returncode == docker.returncode


def test_input_reaches_it(engine):
    done = engine.verb("run", "--rm", "-i", "--network", "none", "localhost/box", "cat", input="typed\n")
    assert done.stdout == "typed\n"


def test_a_container_s_life(engine):
    number = engine.verb("create", "--network", "none", "--name", "life", "localhost/box", "sleep", "1000").stdout
    assert re.fullmatch("[0-9a-f]{64}\n", number)
    for verb in (["start"], ["pause"], ["unpause"], ["restart", "-t", "0"], ["stop", "-t", "0"]):
        assert engine.verb(*verb, "life").stdout == "life\n"
    assert engine.verb("wait", "life").stdout == "137\n"
    engine.verb("rename", "life", "other")
    assert engine.verb("rm", "other").stdout == "other\n"


def test_files_in_and_out(engine):
    engine.verb("create", "--network", "none", "--name", "files", "localhost/box", "true")
    run = engine.sandbox.run
    make = "mkdir -p in/sub && echo one >in/file && echo two >in/sub/file && ln -s file in/link"
    run("sh", "-c", f"cd {TEMPORARY} && {make}")
    engine.verb("cp", f"{TEMPORARY}/in", "files:/tmp")
    engine.verb("cp", "files:/tmp/in", f"{TEMPORARY}/out")
    assert run("diff", "-r", "--no-dereference", f"{TEMPORARY}/in", f"{TEMPORARY}/out").stdout == ""
    engine.verb("cp", "files:/tmp/in/file", f"{TEMPORARY}/single")
    assert run("cat", f"{TEMPORARY}/single").stdout == "one\n"
    missing = engine.verb("cp", "files:/nonesuch", f"{TEMPORARY}/x", check=False)
    assert (missing.returncode, "nonesuch" in missing.stderr) == (1, True)
    engine.verb("export", "-o", f"{TEMPORARY}/files.tar", "files")
    assert "tmp/in/sub/file" in run("tar", "-tf", f"{TEMPORARY}/files.tar").stdout
    engine.verb("rm", "files")


def test_pruning(engine):
    engine.verb("create", "--network", "none", "--name", "gone", "localhost/box", "true")
    assert "Are you sure" in engine.verb("container", "prune", input="n\n").stdout
    assert "gone" in engine.verb("ps", "-a", "--format", "{{.Names}}").stdout
    assert "Deleted Containers:" in engine.verb("container", "prune", "-f").stdout
    assert "Total reclaimed space" in engine.verb("volume", "prune", "-f").stdout


def test_without_anybody_who_serves(engine):
    """Verbs start the engine for their own time; what they start lives on, also when it is served again."""
    engine._daemon.terminate()
    engine._daemon.wait(60)
    try:
        engine.verb("run", "-d", "--network", "none", "--name", "alone", "localhost/box", "sleep", "1000")
        assert "alone" in engine.verb("ps", "--format", "{{.Names}}").stdout
        assert engine.verb("exec", "alone", "echo", "in").stdout == "in\n"
        done = engine.verb("run", "--rm", "-i", "--network", "none", "localhost/box", "cat", input="typed\n")
        assert done.stdout == "typed\n"
    finally:
        engine._begin()
    assert "alone" in engine.verb("ps", "--format", "{{.Names}}").stdout
    engine.verb("rm", "-f", "alone")


def test_an_image_of_a_container(engine, looked):
    more = ["-a", "me", "-m", "text", "-c", "ENV A=b", "-c", 'CMD ["x"]', "--pause=false"]
    said = engine.verb("commit", *more, "looked", "localhost/made:one").stdout
    assert re.fullmatch("sha256:[0-9a-f]{64}\n", said)
    shown = engine.verb(
        "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}} {{.Config.Cmd}} {{.Config.Env}}", said.strip()
    )
    assert shown.stdout == f"{said.strip()} me text [x] [PATH=/bin A=b]\n"
    assert engine.verb("rmi", "localhost/made:one").stdout.startswith("Untagged: localhost/made:one\n")


def test_figures_again_and_again(engine, looked):
    with subprocess.Popen(
        engine.sandbox.argv(*engine.argv("stats", "looked")), env=engine.sandbox.environment, stdout=subprocess.PIPE
    ) as shown:
        assert shown.stdout is not None
        lines = [shown.stdout.readline().decode() for _ in range(4)]
        (pid,) = [pid for pid, words in engine.sandbox.processes().items() if words.endswith(" stats looked")]
        engine.sandbox.run("kill", "-INT", str(pid))
        shown.stdout.read()
    assert shown.returncode == 130
    assert [line.split()[0] for line in lines[::2]] == ["\x1b[2J\x1b[HCONTAINER"] * 2
    for line in lines[1::2]:
        assert re.fullmatch(
            r"[0-9a-f]{12}   looked    \d+\.\d\d%     [\d.]+[KM]iB / [\d.]+[MG]iB   .* 0B / 0B   .*\d\n", line
        )


def test_all_that_nobody_uses_goes(engine):
    engine.verb("create", "--network", "none", "--name", "idle", "--label", "prune=me", "localhost/box")
    done = engine.verb("system", "prune", "--filter", "label=prune=me", input="y\n").stdout
    assert re.search(r"\[y/N\] Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$", done)
