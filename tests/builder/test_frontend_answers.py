"""Requests for something else than an image."""

import json

import pytest
from frontend_parts import Answers
from moby_builder.dockerfile.frontend.planning import plan

from moby.contracts.builder import BuildFailed, Request
from moby.errors import Unsupported

FILE = """\
# GLOBAL is for all
ARG GLOBAL=box
ARG UNUSED=1
ARG DEP=localhost/${GLOBAL}

# build makes it
FROM ${DEP} AS build
# X is an argument
ARG X=1
ARG GLOBAL
ARG NOVALUE
ARG TARGETARCH
RUN --mount=type=secret,id=tok,required --mount=type=ssh echo
FROM --platform=$BUILDPLATFORM scratch AS out
COPY --from=build /etc/group /
ARG X=2
RUN --mount=type=secret,target=/run/secrets/other --mount=type=ssh,id=two,required echo
FROM out
"""
# A $ is where a line ends with spaces.
OUTLINE = """\
BUILD ARG   VALUE           DESCRIPTION
GLOBAL      box             is for all
DEP         localhost/box   $
NOVALUE                     $
X           given           $

SECRET   REQUIRED
tok      true
other    $

SSH       REQUIRED
default   $
two       true

""".replace("$", "")
OUTLINE_OF_BUILD = """\
TARGET:      build
DESCRIPTION: makes it

BUILD ARG   VALUE           DESCRIPTION
GLOBAL      box             is for all
DEP         localhost/box   $
X           given           is an argument
NOVALUE                     $

SECRET   REQUIRED
tok      true

SSH       REQUIRED
default   $

""".replace("$", "")
TARGETS = "TARGET    DESCRIPTION\nbuild     makes it\nout       \n(default) \n"
REQUESTS = """\
NAME                 VERSION DESCRIPTION
lint                 1.0.0   Lint a Dockerfile
outline              1.0.0   List all parameters current build target supports
targets              1.0.0   List all targets current build supports
subrequests.describe 1.0.0   List available subrequest types
"""


def ask(request, file=FILE, target="", arguments=(("X", "given"),), **more):
    lookup = Answers({"dockerfile": {"Dockerfile": file.encode()}, "context": more.pop("context", {})})
    return plan(Request(request=request, target=target, arguments=dict(arguments), **more), lookup)


@pytest.mark.parametrize(
    ("request_", "target", "text"),
    [
        ("outline", "", OUTLINE),
        ("frontend.outline", "build", OUTLINE_OF_BUILD),
        ("targets", "", TARGETS),
        ("describe", "", REQUESTS),
        ("frontend.subrequests.describe", "", REQUESTS),
    ],
)
def test_an_answer_as_text(request_, target, text):
    made = ask(request_, target=target)
    assert made.targets == ()
    assert made.answers["result.txt"].decode() == text
    assert made.answers["version"] == b"1.0.0"


def test_an_outline_as_a_document():
    document = json.loads(ask("outline", target="out").answers["result.json"])
    assert document["name"] == "out"
    assert [(each["name"], each["location"]["ranges"][0]["start"]["line"]) for each in document["args"]] == [
        ("GLOBAL", 2), ("DEP", 4), ("NOVALUE", 11), ("X", 16),
    ]  # fmt: skip
    assert document["secrets"][0] == {
        "name": "tok", "required": True, "location": {"ranges": [{"start": {"line": 13}, "end": {"line": 13}}]},
    }  # fmt: skip
    assert [each["name"] for each in document["ssh"]] == ["default", "two"]


def test_targets_as_a_document():
    first, second, third = json.loads(ask("targets").answers["result.json"])["targets"]
    assert (first["name"], first["description"], first["base"]) == ("build", "makes it", "${DEP}")
    assert (second["name"], second["platform"]) == ("out", "$BUILDPLATFORM")
    assert (third["default"], third["base"]) == (True, "out")
    assert "default" not in first and "name" not in third


def test_what_nobody_can_be_asked():
    with pytest.raises(Unsupported, match="unsupported request frontend"):
        ask("frontend.weather")


def test_an_answer_needs_a_file_that_can_be_read():
    with pytest.raises(BuildFailed, match="unknown instruction: FRM"):
        ask("targets", "FRM x\n")


class TestLint:
    def answer(self, file, **more):
        answers = ask("lint", file, **{"arguments": (), **more}).answers
        return json.loads(answers["result.json"]), answers["result.txt"].decode(), answers["result.statuscode"]

    def test_nothing_is_found(self):
        document, text, status = self.answer("FROM localhost/box\nRUN true\n")
        assert (document["warnings"], text, status) == ([], "", b"0")
        assert document["sources"][0]["filename"] == "Dockerfile"

    @pytest.mark.parametrize("rest", ["RUN true\n", "RUNN true\n"])
    def test_what_the_request_says_of_them(self, rest):
        file, name = f"FROM localhost/box\nMAINTAINER me\n{rest}", "BUILDKIT_DOCKERFILE_CHECK"
        (found,) = self.answer(file)[0]["warnings"]
        assert found["ruleName"] == "MaintainerDeprecated"
        assert self.answer(file, arguments=((name, "skip=all"),))[0]["warnings"] == []

    def test_what_is_found_has_its_lines(self):
        file = "FROM localhost/box AS Upper\nRUN true\nMAINTAINER me\n"
        document, text, status = self.answer(file)
        assert status == b"1"
        assert [each["ruleName"] for each in document["warnings"]] == ["StageNameCasing", "MaintainerDeprecated"]
        assert text == (
            "\nWARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n"
            "Stage name 'Upper' should be lowercase\n"
            "Dockerfile:1\n--------------------\n"
            "   1 | >>> FROM localhost/box AS Upper\n   2 |     RUN true\n   3 |     MAINTAINER me\n"
            "--------------------\n"
            "\nWARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/\n"
            "Maintainer instruction is deprecated in favor of using label\n"
            "Dockerfile:3\n--------------------\n"
            "   1 |     FROM localhost/box AS Upper\n   2 |     RUN true\n   3 | >>> MAINTAINER me\n   4 |     \n"
            "--------------------\n"
        )

    def test_all_stages_are_checked_unless_one_is_named(self):
        file = "FROM localhost/box AS one\nENV A 1\nFROM localhost/box AS two\nWORKDIR x\n"
        assert len(self.answer(file)[0]["warnings"]) == 2
        assert [each["ruleName"] for each in self.answer(file, target="one")[0]["warnings"]] == ["LegacyKeyValueFormat"]

    def test_an_ignored_file_is_copied(self):
        document, _, _ = self.answer("FROM scratch\nCOPY a.o /\n", context={".dockerignore": b"*.o\n"})
        assert [each["ruleName"] for each in document["warnings"]] == ["CopyIgnoredFile"]

    @pytest.mark.parametrize(
        ("file", "message", "line"),
        [
            ("FROM localhost/box\nRNU x\n", "dockerfile parse error on line 2: unknown instruction: RNU", 2),
            ("FROM localhost/box\nSTOPSIGNAL NONE\n", "invalid signal: NONE", 2),
            ("FROM localhost/none\n", "localhost/none: failed to resolve source metadata", 1),
        ],
    )
    def test_a_file_that_can_not_be_built(self, file, message, line):
        document, _, status = self.answer(file)
        assert status == b"1"
        assert document["buildError"]["message"].startswith(message)
        assert document["buildError"]["location"]["ranges"][0]["start"]["line"] == line
