"""dockerd reads json-file's logs, and json-file reads dockerd's, byte for byte the same."""

import json
import shutil
from pathlib import Path

import pytest
from moby_log.files.compression import compress
from moby_log.files.folder import rotated
from moby_log.json_file.driver import JsonFile
from moby_log.records.times import parse
from peers.engines import choices

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig
from moby.testing.logs import BASE_NS, SECOND_NS, read, said

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("docker"), indirect=True, scope="module"),
]
SCRIPT = r"""
printf 'plain\n\n"quoted" \\ back <&> \001\037\177\t\r\n'
printf 'gr\303\274\303\237 \342\202\254 \360\237\230\200 \342\200\250 \342\200\251 \357\277\275\n'
printf 'broken \377 \303( \355\240\200 \360\237\n'
printf 'bad\n' >&2
head -c 40000 /dev/zero | tr '\0' x; printf '\nafter\n'
head -c 16384 /dev/zero | tr '\0' y; printf '\n'
printf 'no end'
"""


def log_of(engine, name):
    """Return where a container's log is, as seen from here."""
    return Path(engine.sandbox.seen(engine.inspect(name, ".LogPath")))


def printed(engine, name, *options):
    """Return what `docker logs` prints to each stream."""
    done = engine("logs", *options, name)
    return done.stdout, done.stderr


def ours(config, **query):
    """Return the same of our driver; what programs print is read with all ends of lines as one."""
    found = said(JsonFile(), config, **query)
    return tuple(
        b"".join(text for each, text in found if each == stream).decode().replace("\r\n", "\n")
        for stream in (STDOUT, STDERR)
    )


def test_we_read_what_dockerd_wrote(engine, tmp_path):
    options = ["--label", "l=a b", "--env", "E=1", "--log-opt", "labels=l", "--log-opt", "env=E", "--log-opt", "tag=t"]
    name = engine.start("sh", "-c", SCRIPT, options=options)
    engine.wait_for(name, ".State.Running", False)
    path = log_of(engine, name)
    shutil.copy(path, tmp_path)
    config = LogConfig(path.name.removesuffix("-json.log"), tmp_path)
    assert ours(config) == printed(engine, name)
    assert ours(config, timestamps=True) == printed(engine, name, "-t")
    assert ours(config, details=True, timestamps=True) == printed(engine, name, "--details", "-t")
    for tail in (0, 1, 3, 100):
        assert ours(config, tail=tail) == printed(engine, name, "--tail", str(tail))
    times = [parse(json.loads(line)["time"]) for line in path.read_bytes().splitlines()]
    for at in (times[0], times[len(times) // 2], times[-1] + 1):
        seconds = f"{at // SECOND_NS}.{at % SECOND_NS:09}"
        assert ours(config, since_ns=at) == printed(engine, name, "--since", seconds)
        assert ours(config, until_ns=at) == printed(engine, name, "--until", seconds)


def test_we_write_what_dockerd_writes(engine, tmp_path):
    """Each record of dockerd's, out of what the program wrote, with the time that dockerd gave it."""
    options = ["--label", "l=<\u00fc>", "--log-opt", "labels=l", "--log-opt", "tag={{.Name}}/{{.ID}}"]
    name = engine.start("sh", "-c", SCRIPT, options=options)
    engine.wait_for(name, ".State.Running", False)
    path = log_of(engine, name)
    container = path.name.removesuffix("-json.log")
    raw = engine.sandbox.run("sh", "-c", f"({SCRIPT}) 2>/dev/null | od -An -v -tx1").stdout
    output = bytes.fromhex(raw.replace("\n", " "))
    config = LogConfig(
        container, tmp_path, name=name, labels={"l": "<\u00fc>"},
        options={"labels": "l", "tag": "{{.Name}}/{{.ID}}"},
    )  # fmt: skip
    lines = path.read_bytes().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines]
    writer = JsonFile().open(config)
    # Of a record only the length in bytes matters: what is no UTF-8 is another text than was written.
    at = 0
    for entry in (each for each in entries if each["stream"] == "stdout"):
        end = output.find(b"\n", at) + 1 or len(output)
        piece = output[at : min(end, at + 16384)]
        writer.write(STDOUT, parse(entry["time"]), piece)
        at += len(piece)
    writer.close()
    assert at == len(output)
    wanted = [line for line, entry in zip(lines, entries, strict=True) if entry["stream"] == "stdout"]
    written = (tmp_path / path.name).read_bytes().splitlines(keepends=True)
    # Pieces of a line that came whole here have one time with us, and with dockerd too.
    assert written == wanted


@pytest.mark.parametrize("compressed", ["false", "true"])
def test_dockerd_reads_what_we_wrote(engine, tmp_path, compressed):
    options = ["max-size=8k", "max-file=4", f"compress={compressed}", "labels=l"]
    name = engine.fresh()
    given = [word for each in options for word in ("--log-opt", each)]
    engine("create", "--network=none", "--name", name, "--label", "l=1", *given, "localhost/box", "true")
    number = engine.inspect(name, ".Id")
    config = LogConfig(
        number, tmp_path, name=name, labels={"l": "1"}, options=dict(each.split("=") for each in options)
    )
    writer = JsonFile().open(config)
    for line in range(300):
        text = f'line {line} <\u00fc> "q" \\ \u2028\n'.encode()
        writer.write(STDERR if line % 7 == 3 else STDOUT, BASE_NS + line * SECOND_NS, text)
    writer.write(STDOUT, BASE_NS + 300 * SECOND_NS, b"x" * 20000 + b"\nno end")
    writer.close()
    path = tmp_path / f"{number}-json.log"
    if compressed == "true":
        compress(path)
        assert all(each.compressed for each in rotated(path))
    folder = engine.sandbox.seen("/var/lib/docker/containers") / number
    for each in tmp_path.iterdir():
        if each.name.startswith(path.name) and not each.name.endswith(".part"):
            (folder / each.name).write_bytes(each.read_bytes())
    assert len(ours(config)[0]) > 20000
    assert printed(engine, name) == ours(config)
    assert printed(engine, name, "-t", "--details") == ours(config, timestamps=True, details=True)
    for tail in (1, 5, 60):
        assert printed(engine, name, "--tail", str(tail)) == ours(config, tail=tail)
    seconds = BASE_NS // SECOND_NS + 280
    assert printed(engine, name, "--since", str(seconds)) == ours(config, since_ns=seconds * SECOND_NS)
    assert printed(engine, name, "--until", str(seconds)) == ours(config, until_ns=seconds * SECOND_NS)
    assert b"no end" in read(JsonFile(), config, framed=False)
