"""Files of json-file and local: rotation, compression, torn and hostile files, following over them."""

import gzip
import json
import os
import threading
import time
import zlib

import pytest
from moby_log.files import generations, reading
from moby_log.files.compression import Compression, compress
from moby_log.files.folder import folder_locked, rotated
from moby_log.files.rotation import RotatedFile, Rotation
from moby_log.json_file.driver import JsonFile
from moby_log.local.driver import Local

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.errors import Corrupt, HostUnfit
from moby.testing.logs import BASE_NS, SECOND_NS, Following, frames, read, said, texts, write

PATIENCE_S = 60
FILES = {JsonFile: "{}-json.log", Local: "local-logs/container.log"}


@pytest.fixture(params=[JsonFile, Local], ids=["json-file", "local"])
def driver(request):
    return request.param()


@pytest.fixture
def config(tmp_path):
    def make(**options):
        named = {name.replace("_", "-"): value for name, value in options.items()}
        return LogConfig("c" * 64, tmp_path, name="box", options=named)

    return make


def current(driver, config):
    return config.folder / FILES[type(driver)].format(config.container_id)


def until(condition):
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, "it didn't come"
        time.sleep(0.01)


def numbered(driver, config, first, last, size=100):
    """Write lines of a size in chunks of ten, a second apart."""
    writer = driver.open(config)
    for begin in range(first, last, 10):
        lines = [b"%0*d\n" % (size - 1, number) for number in range(begin, min(begin + 10, last))]
        writer.write(STDOUT, BASE_NS + begin * SECOND_NS, b"".join(lines))
    writer.close()


def numbers(found):
    return [int(text) for text in found]


def test_rotation(driver, config):
    log = config(max_size="4k", max_file="3", compress="false")
    numbered(driver, log, 0, 1000)
    path = current(driver, log)
    assert [each.path.name for each in rotated(path)] == [f"{path.name}.2", f"{path.name}.1"]
    assert all(4000 <= each.path.stat().st_size < 6000 for each in rotated(path))
    assert path.stat().st_mode & 0o777 == 0o640
    found = numbers(texts(driver, log))
    assert found == list(range(1000 - len(found), 1000))
    assert len(found) > 40
    for tail in (1, 5, len(found) - 1, len(found) + 1):
        assert numbers(texts(driver, log, tail=tail)) == found[-tail:]
    since = BASE_NS + 980 * SECOND_NS
    assert numbers(texts(driver, log, since_ns=since)) == list(range(980, 1000))
    assert numbers(texts(driver, log, tail=7, until_ns=since)) == list(range(983, 990))


def test_one_file_begins_anew(driver, config):
    log = config(max_size="4k", max_file="1", compress="false")
    numbered(driver, log, 0, 1000)
    assert rotated(current(driver, log)) == []
    found = numbers(texts(driver, log))
    assert found == list(range(1000 - len(found), 1000))
    assert current(driver, log).stat().st_size < 6000


def test_json_file_rotates_at_the_record(config):
    """As docker does: before the record that finds the file full, also amid what was written at once."""
    log = config(max_size="1k", max_file="100")
    JsonFile().open(log).write(STDOUT, BASE_NS, b"x" * 40 + b"\n" + b"y\n" * 200)
    for each in rotated(current(JsonFile(), log)):
        lines = each.path.read_bytes().splitlines(keepends=True)
        size = sum(map(len, lines))
        assert size >= 1000 > size - len(lines[-1])


def test_compression(driver, config):
    log = config(max_size="4k", max_file="4", compress="true")
    numbered(driver, log, 0, 400)
    path = current(driver, log)
    numbered(driver, log, 400, 401)
    compress(path)
    until(lambda: all(each.compressed for each in rotated(path)))
    assert [each.number for each in rotated(path)] == [3, 2, 1]
    assert {each.path.stat().st_mode & 0o777 for each in rotated(path)} == {0o640}
    found = numbers(texts(driver, log))
    assert found == list(range(401 - len(found), 401))
    assert numbers(texts(driver, log, tail=len(found) - 1)) == found[1:]
    assert numbers(texts(driver, log, tail=1)) == [400]
    assert gzip.decompress(rotated(path)[0].path.read_bytes())
    until(lambda: not list(path.parent.glob("*.part")))


def test_a_writer_does_not_wait_for_compression(driver, config, monkeypatch):
    """While one is compressed, others are rotated, and what is compressed takes the place that its file has by then."""
    log = config(max_size="4k", max_file="20", compress="true")
    monkeypatch.setattr(Compression, "start", lambda self: None)
    numbered(driver, log, 0, 100)
    path = current(driver, log)
    real = compress.__globals__["_copy"]

    def copy(source, target):
        monkeypatch.setitem(compress.__globals__, "_copy", real)
        numbered(driver, log, 100, 150)
        real(source, target)

    monkeypatch.setitem(compress.__globals__, "_copy", copy)
    compress(path)
    found = numbers(texts(driver, log))
    assert found == list(range(150 - len(found), 150))
    assert len(found) == 150
    assert all(each.compressed for each in rotated(path))


def test_what_is_rotated_away_while_it_is_compressed(driver, config, monkeypatch):
    log = config(max_size="4k", max_file="3", compress="true")
    monkeypatch.setattr(Compression, "start", lambda self: None)
    numbered(driver, log, 0, 100)
    path = current(driver, log)
    real = compress.__globals__["_copy"]

    def copy(source, target):
        real(source, target)
        monkeypatch.setitem(compress.__globals__, "_copy", real)
        numbered(driver, log, 100, 400)

    monkeypatch.setitem(compress.__globals__, "_copy", copy)
    compress(path)
    found = numbers(texts(driver, log))
    assert found == list(range(400 - len(found), 400))
    assert list(path.parent.glob("*.part")) == []


def test_a_full_disk_while_compressing(driver, config, monkeypatch):
    log = config(max_size="4k", max_file="3", compress="true")
    monkeypatch.setattr(Compression, "start", lambda self: None)
    numbered(driver, log, 0, 100)
    path = current(driver, log)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(compress.__globals__, "_copy", full)
    before = texts(driver, log)
    with pytest.raises(OSError, match="No space"):
        compress(path)
    assert list(path.parent.glob("*.part")) == []
    assert texts(driver, log) == before


def test_what_a_killed_compressor_left_is_removed(driver, config):
    log = config(max_size="4k", max_file="3", compress="true")
    numbered(driver, log, 0, 10)
    part = current(driver, log).with_name(f"{current(driver, log).name}.1234.gz.part")
    part.write_bytes(b"half")
    numbered(driver, log, 10, 20)
    assert not part.exists()


def test_where_no_process_can_be_made(driver, config, monkeypatch):
    from moby.host import processes

    def fork(child):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(processes, "fork", fork)
    log = config(max_size="4k", max_file="30", compress="true")
    numbered(driver, log, 0, 200)
    assert numbers(texts(driver, log)) == list(range(200))
    assert not any(each.compressed for each in rotated(current(driver, log)))


def test_both_forms_of_one_file(driver, config, monkeypatch):
    """One who compressed was killed between the two: the plain one counts, and rotation takes both along."""
    monkeypatch.setattr(Compression, "start", lambda self: None)
    log = config(max_size="4k", max_file="20", compress="true")
    numbered(driver, log, 0, 100)
    path = current(driver, log)
    first = path.with_name(f"{path.name}.1")
    first.with_name(f"{first.name}.gz").write_bytes(gzip.compress(first.read_bytes()))
    assert numbers(texts(driver, log)) == list(range(100))
    numbered(driver, log, 100, 200)
    assert numbers(texts(driver, log)) == list(range(200))


def test_rotation_that_cannot_be(driver, config):
    log = config(max_size="4k", max_file="3", compress="false")
    path = current(driver, log)
    path.parent.mkdir(exist_ok=True)
    path.with_name(f"{path.name}.new").mkdir()
    numbered(driver, log, 0, 200)
    assert numbers(texts(driver, log)) == list(range(200))
    path.with_name(f"{path.name}.new").rmdir()
    numbered(driver, log, 200, 300)
    assert rotated(path) != []


def test_a_folder_that_is_not_there(driver, tmp_path):
    with pytest.raises(HostUnfit, match="can't be written: No such file"):
        driver.open(LogConfig("c" * 64, tmp_path / "none"))


def test_any_torn_end(driver, config):
    """Whichever byte of the last write a killed writer came to, the records before are whole, as are the next ones."""
    log = config()
    write(driver, log, [(STDOUT, b"first\n")])
    path = current(driver, log)
    first = path.read_bytes()
    write(driver, log, [(STDERR, "sec\u00f6nd\n".encode())])
    whole = path.read_bytes()
    for cut in range(len(first), len(whole)):
        path.write_bytes(whole[:cut])
        assert texts(driver, log) == [b"first\n"], cut
        write(driver, log, [(STDOUT, b"next\n")])
        assert texts(driver, log) == [b"first\n", b"next\n"], cut


def test_a_torn_end_is_followed_past(driver, config):
    log = config()
    write(driver, log, [(STDOUT, b"first\n")])
    path = current(driver, log)
    first = path.read_bytes()
    write(driver, log, [(STDERR, b"second\n")])
    path.write_bytes(path.read_bytes()[: len(first) + 20])
    following = Following(driver, log, LogQuery(follow=True))
    following.wait_for(b"first\n")
    write(driver, log, [(STDOUT, b"third\n")])
    following.wait_for(b"third\n")
    assert [text for _, text in frames(following.end())] == [b"first\n", b"third\n"]


def test_a_torn_line_too_long_to_cut(config):
    log = config()
    write(JsonFile(), log, [(STDOUT, b"first\n")])
    path = current(JsonFile(), log)
    with path.open("ab") as file:
        file.write(b"x" * (5 << 20))
    write(JsonFile(), log, [(STDOUT, b"next\n")])
    assert read_with_damage(JsonFile(), log) == [b"first\n", b"next\n"]


def read_with_damage(driver, config, **query):
    """Return what could be read before the error that says that not all could."""
    ours, theirs = os.pipe()
    found = b""
    with pytest.raises(Corrupt) as caught:
        for chunk in driver.read(config, LogQuery(**query), ours):
            found += chunk
    os.close(ours)
    os.close(theirs)
    assert str(config.folder) in caught.value.message
    return [text for _, text in frames(found)]


HOSTILE = {
    "zeros": b"\0" * 500 + b"\n",
    "binary": bytes(range(1, 256)) * 4 + b"\n",
    "no-object": b'["log"]\n1\nnull\n',
    "deep": b"[" * 100_000 + b"\n",
    "types": b'{"log":1,"stream":"stdout","time":"2026-01-01T00:00:00Z"}\n',
    "time": b'{"log":"x\\n","stream":"stdout","time":"yesterday"}\n',
    "month": b'{"log":"x\\n","stream":"stdout","time":"2026-13-01T00:00:00Z"}\n',
    "attrs": b'{"log":"x\\n","stream":"stdout","attrs":[1],"time":"2026-01-01T00:00:00Z"}\n',
    "giant": b'{"log":"' + b"x" * (9 << 20) + b'\\n"}\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lines_are_passed_over(config, name):
    log = config()
    write(JsonFile(), log, [(STDOUT, b"first\n")])
    with current(JsonFile(), log).open("ab") as file:
        file.write(HOSTILE[name])
    write(JsonFile(), log, [(STDERR, b"last\n")])
    assert read_with_damage(JsonFile(), log) == [b"first\n", b"last\n"]
    assert read_with_damage(JsonFile(), log, tail=2)[-1] == b"last\n" if name != "giant" else True


def test_hostile_blocks_end_a_file(config):
    """What comes after can't be found, but other files can be read."""
    log = config(max_size="4k", max_file="5", compress="false")
    numbered(Local(), log, 0, 60)
    path = current(Local(), log)
    oldest = rotated(path)[0].path
    data = bytearray(oldest.read_bytes())
    data[len(data) // 2] ^= 1
    oldest.write_bytes(data)
    found = numbers(read_with_damage(Local(), log))
    assert 0 < len(found) < 60
    assert found[:10] == list(range(10))
    assert found[-10:] == list(range(50, 60))


@pytest.mark.parametrize("damage", ["cut", "changed", "tail"])
def test_damaged_compression(driver, config, damage):
    log = config(max_size="4k", max_file="9", compress="true")
    numbered(driver, log, 0, 100)
    path = current(driver, log)
    compress(path)
    until(lambda: all(each.compressed for each in rotated(path)))
    oldest = rotated(path)[0].path
    data = oldest.read_bytes()
    oldest.write_bytes({"cut": data[:-20], "changed": data[:-6] + b"\0" * 6, "tail": data + b"junk"}[damage])
    found = numbers(read_with_damage(driver, log))
    assert found[-20:] == list(range(80, 100))
    assert numbers(read_with_damage(driver, log, tail=100))[-20:] == list(range(80, 100))


def test_what_compresses_well_takes_no_memory(config):
    """A small file that becomes a gigabyte is read by the block."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"\0" * (1 << 20)
    bomb = b"".join(deflate.compress(block) for _ in range(64)) + deflate.flush()
    log = config(max_size="4k", max_file="5")
    write(JsonFile(), log, [(STDOUT, b"last\n")])
    path = current(JsonFile(), log)
    path.with_name(f"{path.name}.1.gz").write_bytes(bomb)
    found = generations.opened(path)
    largest = max(len(each) for each in found[0].blocks())
    generations.close_all(found)
    assert largest <= generations.BLOCK_BYTES
    assert read_with_damage(JsonFile(), log) == [b"last\n"]


def test_files_that_end_before_are_not_opened(driver, config):
    log = config(max_size="4k", max_file="9", compress="true")
    numbered(driver, log, 0, 100)
    path = current(driver, log)
    compress(path)
    until(lambda: all(each.compressed for each in rotated(path)))
    for each in rotated(path):
        data = each.path.read_bytes()
        assert json.loads(data[12 : 12 + int.from_bytes(data[10:12], "little")])["lastTime"].endswith("Z")
        each.path.write_bytes(data[: 12 + int.from_bytes(data[10:12], "little")])  # nothing after the header
    assert said(driver, log, since_ns=time.time_ns() + SECOND_NS) == []
    assert said(driver, log, since_ns=time.time_ns() + SECOND_NS, tail=1000) == []


@pytest.mark.parametrize("compressed", ["false", "true"])
def test_following_over_rotation(driver, config, compressed):
    log = config(max_size="4k", max_file="300", compress=compressed)
    numbered(driver, log, 0, 10)
    following = Following(driver, log, LogQuery(follow=True))
    following.wait_for(b"%099d\n" % 9)
    numbered(driver, log, 10, 1000)
    following.wait_for(b"%099d\n" % 999)
    assert numbers(text for _, text in frames(following.end())) == list(range(1000))


def test_reading_amid_a_rotation(driver, config, monkeypatch):
    """However long it takes: between its renames there is no current file."""
    log, waits, locked = config(max_size="4k", max_file="300", compress="false"), threading.Event(), folder_locked

    def waited(folder, **how):
        waits.set()
        return locked(folder, **how)

    numbered(driver, log, 0, 100)
    path = current(driver, log)
    monkeypatch.setattr(generations, "folder_locked", waited)
    with locked(path.parent):
        RotatedFile._shift(path, 300)
        reader = Following(driver, log, LogQuery())
        assert waits.wait(PATIENCE_S)
        path.touch()
    assert numbers(text for _, text in frames(reader.end())) == list(range(100))


def test_a_writer_that_is_killed_amid_a_rotation(driver, config):
    """What it wrote is there before another one comes, and what that one writes follows."""
    log = config(max_size="4k", max_file="300", compress="false")
    numbered(driver, log, 0, 100)
    RotatedFile._shift(current(driver, log), 300)
    assert numbers(texts(driver, log)) == list(range(100))
    assert numbers(texts(driver, log, tail=3)) == [97, 98, 99]
    following = Following(driver, log, LogQuery(follow=True))
    following.wait_for(b"%099d\n" % 99)
    numbered(driver, log, 100, 200)
    following.wait_for(b"%099d\n" % 199)
    assert numbers(text for _, text in frames(following.end())) == list(range(200))


def test_following_what_is_looked_for_amid_a_rotation(config, monkeypatch):
    """When the old file has gone, and the new one isn't there: of that no notice comes."""
    monkeypatch.setattr(reading, "_LONGEST_WAIT_MS", 10**6)
    driver, log = JsonFile(), config(max_size="4k", max_file="3")
    write(driver, log, [(STDOUT, b"before\n")])
    path, missed = current(driver, log), threading.Event()
    inode_at = reading._inode_at

    def looked(at):
        found = inode_at(at)
        if not found:
            missed.set()
        return found

    monkeypatch.setattr(reading, "_inode_at", looked)
    following = Following(driver, log, LogQuery(follow=True))
    following.wait_for(b"before\n")
    path.rename(path.with_name(f"{path.name}.1"))
    assert missed.wait(30)
    write(driver, log, [(STDOUT, b"after\n")])
    following.wait_for(b"after\n")
    following.end()


def test_following_without_notices(driver, config, monkeypatch):
    class None_:
        def __init__(self, fd):
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(reading, "Watch", None_)
    log = config(max_size="4k", max_file="300", compress="false")
    following = Following(driver, log, LogQuery(follow=True))
    numbered(driver, log, 0, 300)
    following.wait_for(b"%099d\n" % 299)
    assert numbers(text for _, text in frames(following.end())) == list(range(300))


def test_following_one_that_others_empty(config):
    """As people do by `truncate -s 0`."""
    driver, log = JsonFile(), config()
    writer = driver.open(log)
    writer.write(STDOUT, BASE_NS, b"before it\n")
    following = Following(driver, log, LogQuery(follow=True))
    following.wait_for(b"before it\n")
    os.truncate(current(driver, log), 0)
    writer.write(STDOUT, BASE_NS, b"after\n")
    following.wait_for(b"after\n")
    writer.close()
    following.end()
    assert texts(driver, log) == [b"after\n"]


def test_following_ends_at_its_time(driver, config):
    log = config()
    writer = driver.open(log)
    writer.write(STDOUT, BASE_NS, b"old\n")
    ours, theirs = os.pipe()
    query = LogQuery(follow=True, until_ns=time.time_ns() + SECOND_NS // 5)
    assert [text for _, text in frames(b"".join(driver.read(log, query, ours)))] == [b"old\n"]
    query = LogQuery(follow=True, until_ns=time.time_ns() + 600 * SECOND_NS)
    writer.write(STDOUT, query.until_ns + 1, b"late\n")
    assert [text for _, text in frames(b"".join(driver.read(log, query, ours)))] == [b"old\n"]
    os.close(ours)
    os.close(theirs)


def test_records_out_of_their_order(driver, config):
    """Once a record is late enough, what comes after it is read, whatever its time."""
    log = config()
    writer = driver.open(log)
    for second in (0, 5, 3, 6):
        writer.write(STDOUT, BASE_NS + second * SECOND_NS, b"%d\n" % second)
    writer.close()
    assert numbers(texts(driver, log, since_ns=BASE_NS + 4 * SECOND_NS)) == [5, 3, 6]


def test_many_tails(driver, config):
    """Tails that reach over the pieces that a file is read in from its end."""
    log = config()
    numbered(driver, log, 0, 5000)
    for tail in (1, 9, 10, 11, 500, 1234, 4999, 5000, 9000):
        assert numbers(texts(driver, log, tail=tail)) == list(range(max(0, 5000 - tail), 5000))
        assert len(read(driver, log, tail=tail, framed=False)) == min(tail, 5000) * 100


def test_what_was_read_at_once_comes_in_one_piece(driver, config):
    """However many records it is, of however many times, streams and lengths."""
    log = config()
    writer = driver.open(log)
    for number in range(300):
        stream = STDERR if number % 7 == 3 else STDOUT
        writer.write(stream, BASE_NS + number * SECOND_NS, b"%d\n" % number + b"x" * number + b"\n")
    writer.close()
    never, end = os.pipe()
    pieces = list(driver.read(log, LogQuery(), never))
    os.close(never)
    os.close(end)
    assert len(pieces) == 1
    expected = [(b"%d\n" % number, b"x" * number + b"\n") for number in range(300)]
    assert [text for _, text in frames(pieces[0])] == [each for pair in expected for each in pair]


def test_lines_of_one_time_among_others(config):
    """Lines that share their end are cut apart together; one that ends, or begins, in another way is among them."""
    log = config()
    numbered(JsonFile(), log, 0, 10)
    path = current(JsonFile(), log)
    line = path.read_bytes().splitlines(keepends=True)[0]
    tail = line[line.index(b'\\n","stream') :]
    other = b'{"stream":"stdout","log":"other\\n' + tail[2:]
    assert other.endswith(tail)
    path.write_bytes(line * 50 + other + line * 50 + b"damaged" + line + line * 50)
    found = read_damaged(log)
    assert found.count(line[8 : -len(tail)] + b"\n") == 150
    assert b"other\n" in found


def read_damaged(log):
    """Return the texts of records before it is told that some can't be read."""
    never, end = os.pipe()
    found = []
    try:
        with pytest.raises(Corrupt):
            for piece in JsonFile().read(log, LogQuery(), never):
                found += [text for _, text in frames(piece)]
    finally:
        os.close(never)
        os.close(end)
    return found


def test_an_appending_file_whose_disk_fills_amid_a_record(tmp_path, monkeypatch):
    file = RotatedFile(tmp_path / "log", Rotation())
    file.append(b"whole\n")
    real, calls = os.write, []

    def short(fd, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(fd, data[:3])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        file.append(b"more than fits\n")
    monkeypatch.setattr(os, "write", real)
    file.append(b"next\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"whole\nnext\n"


def test_following_records_that_are_larger_than_what_is_read_at_once(driver, tmp_path):
    log = LogConfig("c" * 64, tmp_path, labels={"l": "v" * 600_000}, options={"labels": "l"})
    following = Following(driver, log, LogQuery(follow=True))
    write(driver, log, [(STDOUT, b"one\n"), (STDOUT, b"two\n")])
    following.wait_for(b"two\n")
    assert [text for _, text in frames(following.end())] == [b"one\n", b"two\n"]


def test_a_damaged_length_hides_nothing_in_silence(config):
    """A block that says that it is longer than the file, and is not the last, is damage and no torn end."""
    log = config()
    write(Local(), log, [(STDOUT, b"first\n")])
    path = current(Local(), log)
    first = path.stat().st_size
    write(Local(), log, [(STDOUT, b"second\n"), (STDOUT, b"third\n")])
    data = bytearray(path.read_bytes())
    data[first + 9] = 1  # of the second block's length of text
    path.write_bytes(data)
    write(Local(), log, [(STDOUT, b"fourth\n")])
    assert read_with_damage(Local(), log) == [b"first\n"]
