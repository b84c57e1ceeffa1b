"""Dockerfiles, case by case: what they say, and why they are refused."""

import itertools
import json
import re
import textwrap

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from moby_builder.dockerfile.language import directives, expansion
from moby_builder.dockerfile.language.forms import KEYWORDS
from moby_builder.dockerfile.language.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    Command,
    Copy,
    Device,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    MountFlag,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
    Written,
)
from moby_builder.dockerfile.language.parser import MOST_BYTES, parse, parse_trigger

from moby.contracts.builder import BuildFailed, Range


def bare(instruction: Instruction) -> Instruction:
    return evolve(instruction, written=Written())


def first(text: str) -> Instruction:
    """Return the first instruction after a FROM."""
    return bare(parse(b"FROM a\n" + text.encode()).stages[0].instructions[0])


def shell(text: str, *files: Heredoc) -> Command:
    return Command((text,), files=files)


def listed(*arguments: str) -> Command:
    return Command(arguments, shell=False)


INSTRUCTIONS = [
    ("RUN make", Run(shell("make"))),
    ("run  make  all ", Run(shell("make  all"))),
    ('RUN ["make", "all"]', Run(listed("make", "all"))),
    ('RUN ["make", "all"', Run(shell('["make", "all"'))),
    ("RUN ['make']", Run(shell("['make']"))),
    ("RUN [NaN]", Run(shell("[NaN]"))),
    ("RUN [ -f x ]", Run(shell("[ -f x ]"))),
    ("RUN []", Run(listed())),
    ('RUN ["\\u00e9\\ud800"]', Run(listed("é\ufffd"))),
    ("RUN [" + "[" * 5000, Run(shell("[" + "[" * 5000))),
    ("RUN [" + "9" * 5000 + "]", Run(shell("[" + "9" * 5000 + "]"))),
    ("RUN", Run(Command())),
    ("RUN --network=none --security=insecure x", Run(shell("x"), network="none", security="insecure")),
    ("RUN --mount=type=cache,target=/x --mount=type=ssh x",
     Run(shell("x"), (MountFlag(("type=cache", "target=/x")), MountFlag(("type=ssh",))))),
    ('RUN --mount=type=bind,"source=a,b" x', Run(shell("x"), (MountFlag(("type=bind", "source=a", "b")),))),
    ("RUN --mount='type=bind,\"source=a,b\"' x", Run(shell("x"), (MountFlag(("type=bind", "source=a,b")),))),
    ("RUN --device=vendor.com/gpu=1,required x", Run(shell("x"), devices=(Device("vendor.com/gpu=1", True),))),
    ("RUN --device=name=gpu,required=false x", Run(shell("x"), devices=(Device("gpu"),))),
    ("RUN --device=required,gpu x", Run(shell("x"), devices=(Device("gpu", True),))),
    ("RUN -- --network=none", Run(shell("--network=none"))),
    ("RUN --network='no'ne x", Run(shell("x"), network="none")),
    ("RUN a \\\n  b", Run(shell("a   b"))),
    ("RUN a \\\n# c\n\n b", Run(shell("a  b"))),
    ("RUN a \\ \t\nb", Run(shell("a b"))),
    ("RUN a \\\\\nUSER b", Run(shell("a \\\\"))),
    ("RUN a # b", Run(shell("a # b"))),
    ("RUN a \\", Run(shell("a"))),
    ("RUN a \\\r\n b\r\n", Run(shell("a  b"))),
    ("\\\nRUN a", Run(shell("a"))),
    ("RUN <<EOF\na\n  $b\nEOF", Run(shell("<<EOF", Heredoc("EOF", "a\n  $b\n")))),
    ("RUN <<EOF cat\na\nEOF", Run(shell("<<EOF cat", Heredoc("EOF", "a\n")))),
    ("RUN <<-'E F'\n\ta\n\tE F", Run(shell("<<-'E F'", Heredoc("E F", "\ta\n", expand=False, chomp=True)))),
    ("RUN 3<<A cat 4<<B\na\nA\nb\nB",
     Run(shell("3<<A cat 4<<B", Heredoc("A", "a\n", descriptor=3), Heredoc("B", "b\n", descriptor=4)))),
    ("RUN << EOF\nEOF", Run(shell("<< EOF", Heredoc("EOF", "")))),
    ('RUN <<"EOF"\r\na\r\nEOF\r\n', Run(shell('<<"EOF"', Heredoc("EOF", "a\r\n", expand=False)))),
    ("RUN <<EOF\n# a\n\nEOF", Run(shell("<<EOF", Heredoc("EOF", "# a\n\n")))),
    ("RUN cat <<<EOF", Run(shell("cat <<<EOF"))),
    ("RUN echo '<<EOF'", Run(shell("echo '<<EOF'"))),
    ("RUN echo '", Run(shell("echo '"))),
    ('RUN ["<<EOF"]', Run(listed("<<EOF"))),
    ("RUN <<${A}\n${A}", Run(shell("<<${A}", Heredoc("${A}", "")))),
    ("CMD a b", Cmd(shell("a b"))),
    ('CMD ["a"]', Cmd(listed("a"))),
    ("CMD", Cmd(Command())),
    ("CMD <<EOF", Cmd(shell("<<EOF"))),
    ("ENTRYPOINT a", Entrypoint(shell("a"))),
    ('ENTRYPOINT ["a", ""]', Entrypoint(listed("a", ""))),
    ("LABEL a=b", Label((Pair("a", "b"),))),
    ("LABEL a=b c=\"d e\" f=' ' g=\\ h",
     Label((Pair("a", "b"), Pair("c", '"d e"'), Pair("f", "' '"), Pair("g", "\\ h")))),
    ("LABEL a b c", Label((Pair("a", "b c", spaced=True),))),
    ("LABEL \"a b\"=c", Label((Pair('"a b"', "c"),))),
    ("LABEL a=b=c", Label((Pair("a", "b=c"),))),
    ("LABEL a=", Label((Pair("a", ""),))),
    ("LABEL a=b\\", Label((Pair("a", "b"),))),
    ("ENV a=b", Env((Pair("a", "b"),))),
    ("ENV a $b c", Env((Pair("a", "$b c", spaced=True),))),
    ("ENV a \t b", Env((Pair("a", "b", spaced=True),))),
    ("ENV a=b \\\n    c=d", Env((Pair("a", "b"), Pair("c", "d")))),
    ("ENV a='b\\' c=d", Env((Pair("a", "'b\\'"), Pair("c", "d")))),
    ("MAINTAINER A <a@b>", Maintainer("A <a@b>")),
    ("EXPOSE 80 443/udp", Expose(("443/udp", "80"))),
    ("EXPOSE $P", Expose(("$P",))),
    ("COPY a b", Copy(("a",), "b")),
    ("COPY a b c/", Copy(("a", "b"), "c/")),
    ('COPY ["a b", "c"]', Copy(("a b",), "c")),
    ("COPY --from=x --chown=1:2 --chmod=0644 --link --parents --exclude=*.o --exclude=b a b",
     Copy(("a",), "b", origin="x", owner="1:2", mode="0644", link=True, exclude=("*.o", "b"), parents=True)),
    ("COPY --link=false --parents=TRUE a b", Copy(("a",), "b", parents=True)),
    ("COPY --chown=\"a b\" a b", Copy(("a",), "b", owner="a b")),
    ("COPY <<a.txt <<'b.txt' c /d/\n$a\na.txt\n$b\nb.txt",
     Copy(("c",), "/d/", (Heredoc("a.txt", "$a\n"), Heredoc("b.txt", "$b\n", expand=False)))),
    ("COPY <<${ b", Copy(("<<${",), "b")),
    ("COPY 日本 /", Copy(("日本",), "/")),
    ("ADD a b", Add(("a",), "b")),
    ("ADD --keep-git-dir --checksum=sha256:1 --unpack=false --link --chown=a --chmod=u+x --exclude=c https://a/b.git c",
     Add(("https://a/b.git",), "c", owner="a", mode="u+x", link=True, exclude=("c",), checksum="sha256:1",
         keep_git=True, unpack=False)),
    ("ADD <<EOF b\nx\nEOF", Add((), "b", (Heredoc("EOF", "x\n"),))),
    ("VOLUME /a /b", Volume(("/a", "/b"))),
    ('VOLUME ["/a", " /b "]', Volume(("/a", "/b"))),
    ("USER a:b", User("a:b")),
    ("USER a b", User("a b")),
    ("WORKDIR /a b", Workdir("/a b")),
    ("ARG a", Arg((Argument("a"),))),
    ("ARG a= b=\"c d\" e", Arg((Argument("a", ""), Argument("b", '"c d"'), Argument("e")))),
    ("# a is what\n# b is not\nARG a=1 c", Arg((Argument("a", "1", "is what"), Argument("c")))),
    ("# a is what\n\nARG a", Arg((Argument("a"),))),
    ("# a is what\n#\n# a is that\nARG a", Arg((Argument("a", description="is that"),))),
    ("STOPSIGNAL SIGTERM", StopSignal("SIGTERM")),
    ("HEALTHCHECK NONE", HealthCheck(("NONE",))),
    ("HEALTHCHECK cmd curl x", HealthCheck(("CMD-SHELL", "curl x"))),
    ('HEALTHCHECK CMD ["curl"]', HealthCheck(("CMD", "curl"))),
    ("HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --start-interval=3ms --retries=4 CMD x",
     HealthCheck(("CMD-SHELL", "x"), 90 * 10**9, 15 * 10**8, 7200 * 10**9, 3 * 10**6, 4)),
    ("HEALTHCHECK --interval=0 CMD x", HealthCheck(("CMD-SHELL", "x"))),
    ("HEALTHCHECK --interval=+1s --retries=+2 CMD x", HealthCheck(("CMD-SHELL", "x"), 10**9, retries=2)),
    ('SHELL ["a", "-c"]', Shell(("a", "-c"))),
    ("ONBUILD RUN make", OnBuild("RUN make")),
    ("onbuild   copy <<E /x\na\nE", OnBuild("copy <<E /x\na\nE")),
    ("ONBUILD FOO x", OnBuild("FOO x")),
    ("ONBUILD \\\n  RUN a \\\n  b", OnBuild("RUN a   b")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), INSTRUCTIONS, ids=[each[0][:40] for each in INSTRUCTIONS])
def test_an_instruction(text: str, wanted: Instruction) -> None:
    assert first(text) == wanted


FROMS = [
    ("FROM alpine", From("alpine")),
    ("from alpine as Build", From("alpine", "build")),
    ("FROM --platform=$BUILDPLATFORM alpine:$V AS a.b-c_1", From("alpine:$V", "a.b-c_1", "$BUILDPLATFORM")),
    ("\ufeffFROM a", From("a")),
    ("# b what it is\nFROM a AS b", From("a", "b", description="what it is")),
    ("  FROM a", From("a")),
    ("FROM\ta\tAS\tb", From("a", "b")),
    ("FROM \\\n a", From("a")),
]


@pytest.mark.parametrize(("text", "wanted"), FROMS)
def test_a_from(text: str, wanted: From) -> None:
    assert bare(parse(text.encode()).stages[0].origin) == wanted


AT_LEAST = "requires at least one argument"
ONE = "requires exactly one argument"
TWO = "requires at least two arguments, but only one was provided. Destination could not be determined"
STRINGS = "when using JSON array syntax, arrays must be comprised of strings only"
BARE = 'parse error on line 1, column 2: bare " in non-quoted-field'
ENDLESS = 'parse error on line 1, column 3: extraneous or missing " in quoted-field'
STAGE = 'invalid name for build stage: "{}", name can\'t start with a number or contain symbols'
REFUSED = [
    # What a statement can't be, told without the line in the message.
    ("ENV a", "ENV must have two arguments"),
    ("LABEL a", "LABEL must have two arguments"),
    ("ENV a=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
    ("RUN [1]", STRINGS), ('CMD ["a", null]', STRINGS), ('COPY ["a", ["b"]]', STRINGS), ("ONBUILD RUN [{}]", STRINGS),
    ("HEALTHCHECK CMD [true]", STRINGS),
    ("RUN <<EOF\nx", "unterminated heredoc"),
    ("COPY <<A <<B /\nA\n", "unterminated heredoc"),
    ("RUN <<-E\n\ta\n\t E", "unterminated heredoc"),
    # What an instruction doesn't take.
    ("FOOBAR", "!unknown instruction: FOOBAR"),
    ("FOO", "!unknown instruction: FOO (did you mean FROM?)"),
    ("FRM a", "!unknown instruction: FRM (did you mean FROM?)"),
    ("copyy a b", "!unknown instruction: copyy (did you mean copy?)"),
    ("FROM", "!FROM requires either one or three arguments"),
    ("FROM a b", "!FROM requires either one or three arguments"),
    ("FROM a IS b", "!FROM requires either one or three arguments"),
    ("FROM a AS 1", "!" + STAGE.format("1")), ("FROM a AS A/b", "!" + STAGE.format("A/b")),
    ("FROM a AS 日", "!" + STAGE.format("日")),
    ("FROM --from=b a", "!unknown flag: --from"),
    ("RUN --mont=type=ssh x", "!unknown flag: --mont (did you mean mount?)"),
    ("RUN --network x", "!missing a value on flag: --network"),
    ("RUN --network=none --network=host x", "!duplicate flag specified: --network"),
    ("RUN --network=bridge x", '!invalid network mode "bridge"'),
    ("RUN --security=no x", '!security "no" is not valid'),
    ('RUN --mount=\'a"b\' x', f"!failed to parse csv mounts: {BARE}"),
    ("RUN --mount='\"a' x", f"!failed to parse csv mounts: {ENDLESS}"),
    ("RUN --mount='\"a\"b' x", f"!failed to parse csv mounts: {ENDLESS}"),
    ("RUN --mount=from=$A x", "!'from' doesn't support variable expansion, define alias stage instead"),
    ("RUN --device='a\"' x", f"!failed to parse csv devices: {BARE}"),
    ("RUN --device=a,name=b x", "!device name already set to a"),
    ("RUN --device=a,b x", "!invalid field 'b' must be a key=value pair"),
    ("RUN --device=a,requird=1 x", "!unexpected key 'requird' in 'requird=1' (did you mean required?)"),
    ("RUN --device=a,required=x x", "!invalid value for required: x"),
    ("CMD --x a", "!unknown flag: --x"), ("ENTRYPOINT --x a", "!unknown flag: --x"),
    ("ENV --x a=b", "!unknown flag: --x"),
    ("USER --x a", "!unknown flag: --x"), ("VOLUME --x a", "!unknown flag: --x"),
    ("WORKDIR --x a", "!unknown flag: --x"),
    ("EXPOSE --x 1", "!unknown flag: --x"), ("MAINTAINER --x a", "!unknown flag: --x"),
    ("SHELL --x []", "!unknown flag: --x"),
    ("ONBUILD --x RUN a", "!unknown flag: --x"), ("LABEL --x a=b", "!unknown flag: --x"),
    ("ENV", f"!ENV {AT_LEAST}"), ("LABEL", f"!LABEL {AT_LEAST}"), ("EXPOSE", f"!EXPOSE {AT_LEAST}"),
    ("ARG", f"!ARG {AT_LEAST}"),
    ("VOLUME", f"!VOLUME {AT_LEAST}"), ("ONBUILD", f"!ONBUILD {AT_LEAST}"), ("HEALTHCHECK", f"!HEALTHCHECK {AT_LEAST}"),
    ("SHELL []", f"!SHELL {AT_LEAST}"), ("VOLUME []", f"!VOLUME {AT_LEAST}"),
    ("ENV =a", "!ENV names can not be blank"), ("LABEL =a", "!LABEL names can not be blank"),
    ("ARG =a", "!ARG names can not be blank"),
    ("MAINTAINER", f"!MAINTAINER {ONE}"), ("USER", f"!USER {ONE}"), ("WORKDIR", f"!WORKDIR {ONE}"),
    ("STOPSIGNAL", f"!STOPSIGNAL {ONE}"),
    ("COPY a", f"!COPY {TWO}"), ("ADD a", f"!ADD {TWO}"), ("COPY", f"!COPY {TWO}"), ('ADD ["a"]', f"!ADD {TWO}"),
    ("COPY --chwon=a a b", "!unknown flag: --chwon (did you mean chown?)"),
    ("COPY --link= a b", "!missing a value on flag: --link"),
    ("COPY --link=maybe a b", "!expecting boolean value for flag --link, not: maybe"),
    ("COPY --link --link a b", "!duplicate flag specified: --link"),
    ("COPY --checksum=a a b", "!unknown flag: --checksum"), ("ADD --from=a a b", "!unknown flag: --from"),
    ("COPY a <<EOF\nEOF", "!COPY cannot accept a heredoc as a destination"),
    ("ADD a <<EOF\nEOF", "!ADD cannot accept a heredoc as a destination"),
    ('VOLUME ["a", " "]', "!VOLUME specified can not be an empty string"),
    ("ONBUILD ONBUILD RUN a", "!Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("ONBUILD from a", "!FROM isn't allowed as an ONBUILD trigger"),
    ("ONBUILD MAINTAINER a", "!MAINTAINER isn't allowed as an ONBUILD trigger"),
    ("SHELL a b", "!SHELL requires the arguments to be in JSON form"),
    ("HEALTHCHECK NONE a", "!HEALTHCHECK NONE takes no arguments"),
    ("HEALTHCHECK curl", '!Unknown type "CURL" in HEALTHCHECK (try CMD)'),
    ("HEALTHCHECK CMD", "!Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK CMD []", "!Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK --interval=1 CMD x", '!time: missing unit in duration "1"'),
    ("HEALTHCHECK --interval=1x CMD x", '!time: unknown unit "x" in duration "1x"'),
    ("HEALTHCHECK --interval=x CMD x", '!time: invalid duration "x"'),
    ("HEALTHCHECK --timeout=1us CMD x", '!Interval "timeout" cannot be less than 1ms'),
    ("HEALTHCHECK --start-period=-1s CMD x", '!Interval "start-period" cannot be less than 1ms'),
    ("HEALTHCHECK --retries=x CMD x", '!strconv.ParseInt: parsing "x": invalid syntax'),
    ("HEALTHCHECK --retries=3000000000 CMD x", '!strconv.ParseInt: parsing "3000000000": value out of range'),
    ("HEALTHCHECK --retries=-1 CMD x", "!--retries cannot be negative (-1)"),
    ("HEALTHCHECK --x=1 CMD x", "!unknown flag: --x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[each[0][:40] for each in REFUSED])
def test_what_is_refused(text: str, message: str) -> None:
    source = f"FROM a\n\n{text}"
    with pytest.raises(BuildFailed) as error:
        parse(source.encode(), "D")
    whole = f"dockerfile parse error on line 3: {message[1:]}" if message.startswith("!") else message
    assert error.value.message == whole
    assert (error.value.file, error.value.source) == ("D", source)
    assert error.value.ranges == (Range(3, 3 + text.rstrip("\n").count("\n")),)


WHOLE = [
    (b"", "the Dockerfile cannot be empty", ()),
    (b"\n# a\n", "file with no instructions", (Range(2, 2),)),
    (b"ARG a\n", "dockerfile contains no stages to build", ()),
    (b"RUN a", "no build stage in current context", (Range(1, 1),)),
    (b"#escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\", (Range(1, 1),)),
    (b"#syntax=a\n# Syntax = b\nFROM a", "only one syntax parser directive can be used", (Range(2, 2),)),
    (b"FROM a\nRUN " + b"a" * 65532 + b"\n", "dockerfile line greater than max allowed size of 65535", (Range(2, 2),)),
    (b"FROM a\nRUN <<E\n" + b"a" * 65536, "dockerfile line greater than max allowed size of 65535", (Range(3, 3),)),
    (b" " * (MOST_BYTES + 1), f"Dockerfile is bigger than {MOST_BYTES} bytes", ()),
]


@pytest.mark.parametrize(("data", "message", "ranges"), WHOLE, ids=[each[1][:40] for each in WHOLE])
def test_a_whole_file_that_is_refused(data: bytes, message: str, ranges: tuple[Range, ...]) -> None:
    with pytest.raises(BuildFailed) as error:
        parse(data)
    assert (error.value.message, error.value.ranges, error.value.file) == (message, ranges, "Dockerfile")


def test_the_longest_line() -> None:
    parse(b"FROM a\nRUN " + b"a" * 65531 + b"\n")


def test_what_a_statement_can_not_be_is_told_before_what_an_instruction_does_not_take() -> None:
    with pytest.raises(BuildFailed, match="unterminated heredoc"):
        parse(b"FROM a\nFOO\nRUN <<E\n")


def test_a_file_with_everything() -> None:
    source = textwrap.dedent("""\
        # syntax=docker/dockerfile:1
        # Check = skip=all;error=true
        # escape=`
        # syntax=too late? no, this is one too many
        """).replace("# syntax=too", "# x=too")
    source += "ARG V=1\nARG W\nFROM a AS b\nRUN x `\n\n  y \\\nFROM b\n# c\nCMD z\n"
    found = parse(source.encode(), "D")
    assert found.escape == "`"
    assert [(each.name, each.value, each.line) for each in found.directives] == [
        ("syntax", "docker/dockerfile:1", 1), ("check", "skip=all;error=true", 2), ("escape", "`", 3),
    ]  # fmt: skip
    assert found.directive("check") == "skip=all;error=true"
    assert found.directive("other") == ""
    assert [bare(each) for each in found.arguments] == [Arg((Argument("V", "1"),)), Arg((Argument("W"),))]
    assert found.empty_continuations == (10,)
    one, two = found.stages
    assert one.origin.written == Written("FROM", "FROM a AS b", Range(7, 7))
    assert one.instructions[0].written == Written("RUN", "RUN x   y \\", Range(8, 10))
    assert two.instructions[0].written == Written("CMD", "CMD z", Range(13, 13), ("c",))


def test_bytes_that_are_no_text() -> None:
    assert first("RUN \udcff".encode("utf-8", "surrogateescape").decode("latin-1")) == Run(shell("\xff"))
    found = parse(b"FROM a\nRUN \xff").stages[0].instructions[0]
    assert bare(found) == Run(shell("\ufffd"))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("# syntax=a/b:1 more\nFROM x", "a/b:1"), ("#!/bin/x\n# syntax=a", "a"), ("// syntax = a\n", "a"),
        ("\ufeff#syntax=a\r\n", "a"),
        ('{"syntax": "a", "b": 1}', "a"), ('{"syntax": 1}', ""), ("[" * 5000, ""), ("FROM a\n# syntax=b", ""),
        ("# escape=x\n#syntax=a", ""),
        ("# escape=`\n# SYNTAX=a", "a"), ("", ""), ("# a\n# syntax=b", ""),
    ],
)  # fmt: skip
def test_the_front_end_that_is_asked_for(source: str, wanted: str) -> None:
    assert directives.syntax(source) == wanted


ORIGIN = From("a", written=Written("FROM", "FROM a", Range(7, 8)))


def test_a_trigger_stands_where_its_image_is_taken() -> None:
    found = parse_trigger("RUN <<E\nx\nE", ORIGIN)
    assert isinstance(found, Run)
    assert found.command == shell("<<E", Heredoc("E", "x\n"))
    assert found.written.range == Range(7, 8)


@pytest.mark.parametrize(
    ("trigger", "message"),
    [("RUN a\nRUN b", "onbuild trigger should be a single expression"),
     ("FROM a", "FROM isn't allowed as an ONBUILD trigger"),
     ("FOOBAR", "unknown instruction: FOOBAR"), ("", "file with no instructions"), ("COPY a", f"COPY {TWO}")],
)  # fmt: skip
def test_a_trigger_that_is_refused(trigger: str, message: str) -> None:
    with pytest.raises(BuildFailed) as error:
        parse_trigger(trigger, ORIGIN)
    assert error.value.message == message


EXPANDED = [
    ("ENV $a=$b", Env((Pair("<a>", "<b>"),))), ("LABEL $a $b", Label((Pair("<a>", "<b>", spaced=True),))),
    ("COPY --chown=$a --chmod=$b --from=$c --exclude=$d $e $f",
     Copy(("<e>",), "<f>", owner="<a>", mode="<b>", origin="$c", exclude=("$d",))),
    ("ADD --checksum=$a $b $c", Add(("<b>",), "<c>", checksum="<a>")),
    ("COPY <<A <<-'B' $c\n\t$x\nA\n\t$y\nB",
     Copy((), "<c>", (Heredoc("A", "{\t<x>\n}", expand=False), Heredoc("B", "$y\n", expand=False)))),
    ("VOLUME $a", Volume(("<a>",))), ("USER $a", User("<a>")), ("WORKDIR $a", Workdir("<a>")),
    ("STOPSIGNAL $a", StopSignal("<a>")),
    ("EXPOSE $a", Expose(("$a",))), ("ARG a=$b", Arg((Argument("a", "$b"),))), ("RUN $a", Run(shell("$a"))),
    ("CMD $a", Cmd(shell("$a"))),
    ("HEALTHCHECK CMD $a", HealthCheck(("CMD-SHELL", "$a"))), ("ONBUILD RUN $a", OnBuild("RUN $a")),
    ("MAINTAINER $a", Maintainer("$a")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), EXPANDED, ids=[each[0] for each in EXPANDED])
def test_where_variables_are_put_in(text: str, wanted: Instruction) -> None:
    def expand(word: str) -> str:
        return "".join(f"<{each[1:]}>" if each.startswith("$") else each for each in _pieces(word))

    assert expansion.expanded(first(text), expand, lambda text: "{" + expand(text) + "}") == wanted


def _pieces(text: str) -> list[str]:
    return re.findall(r"\$\w+|[^$]+", text)


def test_arguments_before_the_first_from() -> None:
    file = parse(b"ARG A=1\nARG B=$A-$TARGETOS\nARG C\nARG D=x\nFROM a")
    found = expansion.file_arguments(file, {"D": "d", "E": "e"}, {"TARGETOS": "linux", "TARGETARCH": "amd64"})
    assert found == {"TARGETOS": "linux", "TARGETARCH": "amd64", "A": "1", "B": "1-linux", "D": "d"}
    with pytest.raises(BuildFailed) as error:
        expansion.file_arguments(parse(b"ARG A=${\nFROM a"), {}, {})
    assert error.value.ranges == (Range(1, 1),)


LINES = st.sampled_from([
    *KEYWORDS, "FROM a", "FROM a AS b", " \\", "\n", "<<E", "\nE\n", "#", "# a", " ", "--from=a", '["a"]', '["a", 1]',
    "a=b", "$", "'",
    '"', "`", "# escape=`\n", "\t", "\r\n", "ONBUILD RUN", "é", "\x00", "[", "CMD",
])  # fmt: skip


@given(st.lists(LINES, max_size=20).map("".join))
def test_any_file_is_taken_or_refused_with_its_place(text: str) -> None:
    lines = text.count("\n") + 1
    try:
        found = parse(text.encode(), "D")
    except BuildFailed as error:
        assert error.file == "D"
        assert all(1 <= each.first <= each.last <= lines for each in error.ranges)
        return
    ranges = [each.written.range for stage in found.stages for each in (stage.origin, *stage.instructions)]
    assert all(before.last < after.first for before, after in itertools.pairwise(ranges))
    assert all(1 <= each.first <= each.last <= lines for each in ranges)


@given(
    st.lists(st.text(alphabet=st.characters(min_codepoint=33, exclude_categories=("Cs", "Cc"))), min_size=1, max_size=4)
)
def test_a_list_in_json_keeps_all(arguments: list[str]) -> None:
    assert first("CMD " + json.dumps(arguments)) == Cmd(listed(*arguments))
