"""Lines, sizes, tags, options, times and docker's JSON, each by itself."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_log.json_file.decoding import LineDecoder
from moby_log.json_file.driver import JsonFile
from moby_log.json_file.encoding import Encoder
from moby_log.local.blocks import BlockDecoder, encoded
from moby_log.local.driver import Local
from moby_log.none.driver import Nothing
from moby_log.records import go_values
from moby_log.records.attributes import attributes
from moby_log.records.lines import MAX_RECORD_BYTES, Batch, Lines, records
from moby_log.records.output import details
from moby_log.records.tags import check, tag
from moby_log.records.times import parse

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.errors import Invalid, Unsupported
from moby.oci.times import fixed, nano
from moby.testing.logs import BASE_NS

CONFIG = LogConfig(
    "0123456789abcdef" * 4, None, name="/box", image="busybox:1", image_id="sha256:" + "fe" * 32,
    command=("sh", "-c", "true"), labels={"a": "1", "b.c": "2"}, environment=("X=1", "Y=a=b", "Z"),
    options={"labels": "a", "env": "Y"},
)  # fmt: skip


def expected(data):
    """Return the records of bytes by docker's rule, a line at a time."""
    lines = data.split(b"\n")
    ended = [each + b"\n" for each in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return [each[at : at + MAX_RECORD_BYTES] for each in ended for at in range(0, len(each), MAX_RECORD_BYTES)]


def split(chunks):
    lines, found = Lines(), []
    for number, chunk in enumerate(chunks):
        found += lines.feed(STDOUT, number + 1, chunk)
    found += lines.end()
    return found


def whole(batch):
    end = b"" if batch.ordinal and not batch.last else b"\n"
    return [record + end for record in records(batch)]


line = st.binary(max_size=20) | st.builds(lambda n, b: bytes((b,)) * n, st.integers(16000, 50000), st.integers(0, 255))


@given(st.lists(line, max_size=8), st.lists(st.integers(1, 40000), max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_chunking_gives_the_same_records(lines, cuts):
    data, chunks, at = b"\n".join(lines), [], 0
    for cut in cuts:
        chunks.append(data[at : at + cut])
        at += cut
    batches = split([*chunks, data[at:]])
    assert [record for batch in batches for record in whole(batch)] == expected(data)


def test_pieces_of_a_line():
    """Share an id and the first one's time, and are numbered."""
    first, second, third, next_ = split([b"x" * 20000, b"x" * 15000, b"\nnext\n"])
    assert [(each.ordinal, each.last, each.time_ns) for each in (first, second, third)] == [
        (1, False, 1), (2, False, 1), (3, True, 1),
    ]  # fmt: skip
    assert first.line_id == second.line_id == third.line_id != ""
    assert next_ == Batch(STDOUT, 3, b"next\n")


@pytest.mark.parametrize(
    ("text", "decimal", "memory"),
    [
        ("32", 32, 32), ("32b", 32, 32), ("32B", 32, 32), ("32k", 32000, 32768), ("32kb", 32000, 32768),
        ("32KiB", 32000, 32768), ("32.5kB", 32500, 33280), ("1 g", 10**9, 2**30), ("1T", 10**12, 2**40),
        ("2p", 2 * 10**15, 2**51), (".5k", 500, 512), ("1e3", 1000, 1000), ("99999999999p", 2**63 - 1, 2**63 - 1),
    ],
)  # fmt: skip
def test_sizes(text, decimal, memory):
    assert (go_values.decimal_size(text), go_values.memory_size(text)) == (decimal, memory)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid size: ''"), ("hello", "invalid size: 'hello'"), ("-1", "invalid size: '-1'"),
        (".3.kB", 'strconv.ParseFloat: parsing ".3.": invalid syntax'), ("32.5 kc", "invalid suffix: 'kc'"),
        ("32kbx", "invalid suffix: 'kbx'"), ("1bb", "invalid suffix: 'bb'"), ("1zetta", "invalid suffix: 'zetta'"),
        ("1x", "invalid suffix: 'x'"), (" 22", 'parsing " 22"'),
    ],
)  # fmt: skip
def test_sizes_that_are_none(text, words):
    with pytest.raises(Invalid, match=re.escape(words)):
        go_values.decimal_size(text)


def test_numbers():
    assert [go_values.integer(each) for each in ("0", "+7", "-8", "007")] == [0, 7, -8, 7]
    for text in ("", "1_0", " 1", "\u0661", "1.0", "0x1"):
        with pytest.raises(Invalid, match="invalid syntax"):
            go_values.integer(text)
    for text in ("9223372036854775808", "9" * 5000):
        with pytest.raises(Invalid, match="value out of range"):
            go_values.integer(text)


def test_durations():
    cases = {"1m30s": 90 * 10**9, "1.5h": 5400 * 10**9, "0": 0, "-2ms": -2 * 10**6, "+1us": 1000, "3\u00b5s": 3000}
    assert {text: go_values.duration_ns(text) for text in cases} == cases
    for text in ("", "x", "1m x", "-", "9999999999h"):
        with pytest.raises(Invalid, match="time: "):
            go_values.duration_ns(text)
    with pytest.raises(Invalid, match='time: unknown unit "d" in duration "1d"'):
        go_values.duration_ns("1d")


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("", "0123456789ab"), ("plain", "plain"), ("{{.ID}}", "0123456789ab"), ("{{.FullID}}", CONFIG.container_id),
        ("{{.Name}}", "box"), ("{{ .ImageName }}/{{.Name}}/{{.ID}}", "busybox:1/box/0123456789ab"),
        ("{{.ImageID}}", "fe" * 6), ("{{.ImageFullID}}", CONFIG.image_id), ("{{.Command}}", "sh -c true"),
        ("{{.DaemonName}}", "docker"), ("{{.ExtraAttributes nil}}", "map[Y:a=b a:1]"),
        ("{{ (.ExtraAttributes nil).a }}", None), ('{{index (.ExtraAttributes nil) "a"}}', "1"),
        ('{{index .ContainerLabels "b.c"}}', "2"), ("{{.ContainerEnv}}", "[X=1 Y=a=b Z]"), ("{{upper .Name}}", "BOX"),
        ("{{.Name | upper | lower | title}}", "Box"), ("{{truncate .ID 4}}", "0123"), ("{{pad .Name 1 2}}", " box  "),
        ('{{join (split .ImageName ":") "-"}}', "busybox-1"), ("{{json .ContainerLabels}}", '{"a":"1","b.c":"2"}'),
        ("a {{- /* comment */ -}} b", "ab"), ("{{`raw`}}{{\"q\\t\"}}", "rawq\t"), ("{{print 1 true}}", "1True"),
        ("{{len .Name}}", "3"), ("{{.ContainerArgs}}", "[-c true]"), ("{{.ContainerEntrypoint}}", "sh"),
        ("{{.Config}}", "map[env:Y labels:a]"), ("{{.ContainerName}}", "/box"), ("{{index .ContainerArgs 0}}", "-c"),
    ],
)  # fmt: skip
def test_tags(template, wanted):
    config = LogConfig(**{
        name: getattr(CONFIG, name) for name in ("container_id", "folder", "name", "image", "image_id", "command",
        "labels", "environment")
    }, options={**CONFIG.options, **({"tag": template} if "Config" not in template else {})})  # fmt: skip
    if wanted is None:
        with pytest.raises(Invalid):
            tag(config, "{{.ID}}")
    else:
        assert tag(config, template if "Config" in template else "{{.ID}}") == wanted


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nothing}}", "can't evaluate field Nothing in type *logger.Info"), ("{{x}}", 'function "x" not defined'),
        ("{{.ID", "unclosed action"), ("{{}}", "missing value for command"), ("{{.ID |}}", "missing value"),
        ("{{if .ID}}x{{end}}", "can't have {{if}}"), ("{{(.ID}}", "unclosed left paren"), ("{{.ID)}}", "right paren"),
        ("{{$x}}", "unexpected"), ('{{"\\q"}}', "invalid syntax"), ("{{.ID 1}}", "executing"), ("{{1 2}}", "executing"),
        ("{{truncate .ID .ID}}", "executing"), ("{{index .ContainerArgs 9}}", "executing"), ("{{join}}", "executing"),
        ("{{print 1 upper}}", "executing"), ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "too deep"),
    ],
)  # fmt: skip
def test_tags_that_are_refused(template, words):
    with pytest.raises(Invalid, match=re.escape(words)):
        check(template)


@given(st.text(alphabet='{}.|()`"- IDname0/*\\', max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_template_is_filled_or_refused(template):
    try:
        check("{{" + template)
    except Invalid:
        return


def test_attributes():
    def of(**options):
        named = {name.replace("_", "-"): value for name, value in options.items()}
        return attributes(LogConfig("a", None, labels=CONFIG.labels, environment=CONFIG.environment, options=named))

    assert of() == {}
    assert of(labels="a,none,b.c", env="X,Z") == {"a": "1", "b.c": "2", "X": "1"}
    assert of(labels_regex=r"\.", env_regex="^[XY]$") == {"b.c": "2", "X": "1", "Y": "a=b"}
    assert details({"b": "x y", "a": "1,2=~"}) == b"a=1%2C2%3D~,b=x+y "


@given(st.integers(0, 253402300799 * 10**9))
def test_times(time_ns):
    assert parse(nano(time_ns)) == parse(fixed(time_ns)) == time_ns


def test_times_of_others():
    assert nano(BASE_NS) == "2023-11-14T22:13:20Z"
    assert nano(BASE_NS + 120) == "2023-11-14T22:13:20.00000012Z"
    assert parse("2023-11-15T03:43:20.5+05:30") == parse("2023-11-14T19:13:20.5-03:00") == BASE_NS + 5 * 10**8
    for text in ("", "2023-11-14", "2023-11-14T22:13:60Z", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z"):
        with pytest.raises(ValueError, match="no time of RFC 3339"):
            parse(text)


def slow(batch, more=""):
    """Return docker's lines by its own rule, a record at a time (jsonlogbytes.go)."""
    found = []
    for record in whole(batch):
        text, at = "", 0
        while at < len(record):
            for size in range(1, 5):
                try:
                    each = record[at : at + size].decode()
                    break
                except UnicodeDecodeError:
                    each = ""
            if not each:
                text, at = text + "\\ufffd", at + 1
                continue
            at += len(each.encode())
            short = {"\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
            if each in short:
                text += short[each]
            elif each < " " or each in "<>&\u2028\u2029":
                text += f"\\u{ord(each):04x}"
            else:
                text += each
        stream = "stdout" if batch.stream == STDOUT else "stderr"
        found.append(f'{{"log":"{text}","stream":"{stream}"{more},"time":"{nano(batch.time_ns)}"}}\n')
    return "".join(found).encode()


text = st.lists(
    st.binary(max_size=6) | st.text(max_size=6).map(str.encode) | st.sampled_from(
        [b'"', b"\\", b"<>&", b"\xe2\x80\xa8", b"\xe2\x80", b"\xed\xa0\x80", b"\xf0\x9f", b"\xef\xbf\xbd", b"\t\r\x7f",
         b"\n"]
    ), max_size=20,
).map(b"".join)  # fmt: skip


@pytest.mark.slow
@given(text, st.sampled_from([STDOUT, STDERR]))
@settings(max_examples=150, deadline=None)
def test_json_lines_are_dockers(data, stream):
    batches = [*Lines().feed(stream, BASE_NS, data + b"\n")]
    assert b"".join(Encoder({}).lines(each) for each in batches) == b"".join(map(slow, batches))


def test_json_lines_with_attributes_are_dockers():
    batch = Batch(STDERR, BASE_NS + 1000, b"x\n")
    attrs = {"b": "<&>\u2028\n", "a": '"\u00e9'}
    more = ',"attrs":{"a":"\\"\u00e9","b":"\\u003c\\u0026\\u003e\\u2028\\n"}'
    assert Encoder(attrs).lines(batch) == slow(batch, more)


@pytest.mark.slow
@given(
    st.lists(st.tuples(text, st.sampled_from([STDOUT, STDERR]), st.integers(0, 3)), max_size=8), st.integers(1, 5000)
)
@settings(max_examples=120, deadline=None)
def test_what_json_file_writes_is_read(chunks, size):
    """In any pieces, whatever else is beside it, and as JSON gives it."""
    lines, encoder, data, wanted = Lines(), Encoder({}), b"", []
    for chunk, stream, at in chunks:
        for batch in lines.feed(stream, BASE_NS + at, chunk):
            data += encoder.lines(batch)
    for batch in lines.end():
        data += encoder.lines(batch)
    for each in data.splitlines():
        entry = json.loads(each)
        wanted.append((entry["stream"], parse(entry["time"]), entry["log"].encode()))
    decoder, found = LineDecoder(), []
    for at in range(0, len(data), size):
        for run in decoder.feed(data[at : at + size]):
            name = {STDOUT: "stdout", STDERR: "stderr"}[run.stream]
            found += [(name, run.time_ns, each + run.end) for each in run.lines]
    assert found == wanted
    assert decoder.bad == 0
    assert decoder.take_back() == 0


@pytest.mark.slow
@given(
    st.lists(st.tuples(text, st.sampled_from([STDOUT, STDERR]), st.integers(0, 3)), max_size=8), st.integers(1, 5000)
)
@settings(max_examples=80, deadline=None)
def test_what_local_writes_is_read(chunks, size):
    lines, data, wanted = Lines(), b"", []
    batches = [each for chunk, stream, at in chunks for each in lines.feed(stream, BASE_NS + at, chunk)] + lines.end()
    for batch in batches:
        data += encoded(batch, b'{"a":"1"}')
        wanted += [(batch.stream, batch.time_ns, each) for each in whole(batch)]
    decoder, found = BlockDecoder(), []
    for at in range(0, len(data), size):
        for run in decoder.feed(data[at : at + size]):
            assert run.attributes == {"a": "1"}
            found += [(run.stream, run.time_ns, each + run.end) for each in run.lines]
    assert found == wanted
    assert decoder.bad == 0


def test_one_chunk_of_many_megabytes():
    data = b"".join(b"%0100d\n" % number for number in range(30_000))
    (batch,) = Lines().feed(STDOUT, BASE_NS, data)
    runs = list(BlockDecoder().feed(encoded(batch, b"")))
    assert len(runs) > 1
    assert b"".join(each + b"\n" for run in runs for each in run.lines) == data


OPTIONS = [
    (JsonFile, {"max-size": "0"}, "max-size must be a positive number"),
    (JsonFile, {"max-size": "-1"}, "invalid size: '-1'"),
    (JsonFile, {"max-size": "x"}, "invalid size: 'x'"),
    (JsonFile, {"max-file": "0"}, "max-file cannot be less than 1"),
    (JsonFile, {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
    (JsonFile, {"compress": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
    (JsonFile, {"compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"),
    (JsonFile, {"compress": "1", "max-size": "1m"}, "compress cannot be true when max-file is less than 2"),
    (JsonFile, {"other": ""}, "unknown log opt 'other' for json-file log driver"),
    (JsonFile, {"labels-regex": "("}, "error parsing regexp: "),
    (Local, {"max-size": "x"}, "invalid value for max-size: x: invalid size: 'x'"),
    (Local, {"max-file": "x"}, 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
    (Local, {"max-file": "-1"}, "max-file must not be negative"),
    (Local, {"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
    (Local, {"compress": "x"}, 'invalid boolean value for compress: strconv.ParseBool: parsing "x": invalid syntax'),
    (Local, {"other": ""}, "unknown log opt 'other' for log driver local"),
]


@pytest.mark.parametrize(("driver", "options", "words"), OPTIONS)
def test_options_in_dockers_words(driver, options, words, tmp_path):
    for call in (driver().check, lambda given: driver().open(LogConfig("a" * 64, tmp_path, options=given))):
        with pytest.raises(Invalid, match=re.escape(words)):
            call(options)
    assert list(tmp_path.iterdir()) == []


def test_none_is_not_read():
    with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
        Nothing().read(CONFIG, LogQuery(), -1)
