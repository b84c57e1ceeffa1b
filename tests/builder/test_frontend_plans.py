"""What a plan has besides its graph: platforms, steps, findings, the small words of configs."""

import threading

import pytest
from frontend_parts import IMAGES, Answers
from moby_builder.dockerfile.frontend import gitrefs, gotext, platforms
from moby_builder.dockerfile.frontend.gitrefs import GitReference
from moby_builder.dockerfile.frontend.planning import plan
from moby_builder.dockerfile.operations import GitSource, ancestors

from moby.contracts.builder import BuildFailed, Range, Request, Step
from moby.contracts.types import Platform
from moby.errors import Denied, Invalid, NotFound, Unavailable


def planned(file, images=IMAGES, context=None, **asked):
    folders = {"dockerfile": {"Dockerfile": file.encode()}, "context": context or {}}
    return plan(Request(**asked), Answers(folders, images))


class TestConfigs:
    def test_the_platform_that_is_asked_for(self):
        both = (Platform("linux", "arm64", "v8"), Platform("linux", "arm", "v7"))
        first, second = planned("FROM localhost/box\n", platforms=both).targets
        assert (first.platform, first.config["architecture"]) == (Platform("linux", "arm64"), "arm64")
        assert "variant" not in first.config
        assert (second.config["architecture"], second.config["variant"]) == ("arm", "v7")

    def test_the_platform_of_the_image_where_none_is(self):
        config = planned("FROM localhost/box\n").targets[0].config
        assert (config["os"], config["architecture"]) == ("linux", "amd64")

    def test_when_it_was_made(self):
        made = planned("FROM scratch\nENV A=1\n", arguments={"SOURCE_DATE_EPOCH": "1000000000"})
        config = made.targets[0].config
        assert config["created"] == config["history"][0]["created"] == "2001-09-09T01:46:40Z"
        assert "created" not in planned("FROM scratch\nENV A=1\n").targets[0].config

    def test_what_a_history_says(self):
        (entry,) = planned("FROM scratch\nENV A=1\n").targets[0].config["history"]
        assert entry == {"created_by": "ENV A=1", "comment": "buildkit.dockerfile.v0", "empty_layer": True}

    def test_what_an_image_has_is_left_as_it_is(self):
        before = repr(IMAGES)
        planned("FROM localhost/rich:1\nLABEL b=2\nENV COLOR=blue\nEXPOSE 1\nVOLUME /x\nONBUILD RUN x\n")
        assert repr(IMAGES) == before

    def test_triggers_stay_in_the_image_that_has_them(self):
        made = planned("FROM localhost/box AS one\nONBUILD ENV A=1\nFROM one\n", target="one")
        assert made.targets[0].config["config"]["OnBuild"] == ["ENV A=1"]


class TestSteps:
    def test_all_instructions_that_are_needed(self):
        made = planned("FROM localhost/box AS a\nRUN x\nFROM scratch AS no\nFROM a\nENV A=1\nCOPY --link b /\n")
        by_name = {each.name: each.digest for each in ancestors(made.targets[0].root)}
        run = by_name["[a 2/2] RUN x"]
        assert made.steps == (
            Step("FROM localhost/box AS a", by_name["[a 1/2] FROM localhost/box:latest"]),
            Step("RUN x", run),
            Step("FROM a", run),
            Step("ENV A=1"),
            Step("COPY --link b /", made.targets[0].root.digest),
        )

    def test_nothing_has_no_vertex(self):
        assert planned("FROM scratch\n").steps == (Step("FROM scratch"),)

    def test_a_file_of_any_length(self):
        made = planned("FROM localhost/box\n" + "RUN x\n" * 3000)
        assert len(list(ancestors(made.targets[0].root))) == 3001
        assert made.targets[0].root.name == "[3001/3001] RUN x"

    def test_equal_steps_are_one(self):
        made = planned("FROM localhost/box AS a\nRUN x\nFROM localhost/box AS b\nRUN x\nFROM a\nCOPY --from=b /f /\n")
        assert [each.name for each in ancestors(made.targets[0].root)] == [
            "[a 1/2] FROM localhost/box:latest", "[a 2/2] RUN x", "[stage-2 1/1] COPY --from=b /f /",
        ]  # fmt: skip


class TestFindings:
    def test_arguments_that_nobody_declares(self):
        given = {"NOBODY": "", "ALSO": "", "KNOWN": "", "http_proxy": "", "BUILDKIT_INLINE_CACHE": "1", "TARGETOS": ""}
        (found,) = planned("FROM localhost/box\nARG KNOWN\n", arguments=given).findings
        assert found.message == "[Warning] One or more build-args [ALSO NOBODY] were not consumed"

    def test_an_argument_of_a_stage_that_is_not_built_is_declared(self):
        assert not planned("FROM scratch AS a\nARG X\nFROM scratch\n", arguments={"X": ""}).findings

    def test_checks_have_their_place(self):
        made = planned("FROM localhost/box AS a\nMAINTAINER me\n")
        (found,) = made.findings
        assert (found.rule, found.file, found.ranges) == ("MaintainerDeprecated", "Dockerfile", (Range(2, 2),))
        assert found.vertex is not None

    def test_variables_of_the_image_are_known(self):
        made = planned("FROM localhost/rich:1\nENV A=$COLOR B=$COLOUR\n")
        assert [each.message for each in made.findings] == [
            "Usage of undefined variable '$COLOUR' (did you mean $COLOR?)"
        ]

    def test_a_file_that_is_ignored(self):
        made = planned("FROM scratch\nCOPY a.o /\n", context={".dockerignore": b"*.o\n"})
        assert [each.rule for each in made.findings] == ["CopyIgnoredFile"]

    def test_an_image_for_another_platform(self):
        (found,) = planned("FROM localhost/box\n", platforms=(Platform("linux", "arm64"),)).findings
        assert found.message == (
            'Base image localhost/box was pulled with platform "linux/amd64", expected "linux/arm64" for current build'
        )

    def test_what_the_request_says_of_them(self):
        file, name = "# check=error=true\nFROM localhost/box\nMAINTAINER me\n", "BUILDKIT_DOCKERFILE_CHECK"
        assert [each.rule for each in planned(file, arguments={name: ""}).findings] == ["MaintainerDeprecated"]
        assert planned(file, arguments={name: "skip=MaintainerDeprecated;error=true"}).findings == ()
        with pytest.raises(BuildFailed, match="lint violation found"):
            planned(file, arguments={name: "skip=StageNameCasing;error=true"})
        with pytest.raises(BuildFailed, match='invalid check option "no"'):
            planned(file, arguments={name: "no=1"})

    def test_a_file_that_will_not_have_them(self):
        with pytest.raises(BuildFailed, match="lint violation found for rules: MaintainerDeprecated") as raised:
            planned("# check=error=true\nFROM localhost/box\nMAINTAINER me\n")
        assert (raised.value.file, raised.value.ranges) == ("Dockerfile", (Range(3, 3),))


class TestLookups:
    def test_an_image_that_may_not_be_had(self):
        class Closed(Answers):
            def image(self, node):
                raise Denied("pull access denied for box", hint="docker login")

        with pytest.raises(BuildFailed, match="localhost/box: failed to resolve source metadata") as raised:
            plan(Request(), Closed({"dockerfile": {"Dockerfile": b"\nFROM localhost/box\n"}}))
        assert (raised.value.ranges, raised.value.hint) == ((Range(2, 2),), "docker login")

    def test_a_context_that_is_an_image_that_nobody_has(self):
        said = "^failed to resolve source metadata for localhost/none:1: localhost/none:1: not found$"
        request = Request(contexts={"more": "docker-image://localhost/none:1"})
        with pytest.raises(NotFound, match=said):
            plan(request, Answers({"dockerfile": {"Dockerfile": b"FROM more\n"}}))

    def test_an_image_is_looked_up_once(self):
        file = b"FROM localhost/box AS a\nFROM localhost/box AS b\nCOPY --from=localhost/box / /\nCOPY --from=a / /\n"
        lookup = Answers({"dockerfile": {"Dockerfile": file}})
        plan(Request(), lookup)
        assert [each for each in lookup.asked if "metadata" in each] == [
            "[internal] load metadata for localhost/box:latest"
        ]

    def test_several_images_are_looked_up_at_the_same_time(self):
        meet = threading.Barrier(2, timeout=30)

        class Meeting(Answers):
            def image(self, node):
                meet.wait()
                return super().image(node)

        file = b"FROM localhost/box AS a\nFROM localhost/rich:1\nCOPY --from=a / /\n"
        plan(Request(), Meeting({"dockerfile": {"Dockerfile": file}}))

    def test_what_is_no_fault_of_the_file_is_told_as_that_with_the_image(self):
        class Away(Answers):
            def image(self, node):
                raise Unavailable("the registry is away")

        said = "^localhost/box: failed to resolve source metadata for localhost/box:latest: the registry is away"
        with pytest.raises(Unavailable, match=said):
            plan(Request(), Away({"dockerfile": {"Dockerfile": b"FROM localhost/box\n"}}))

    def test_images_are_asked_for_with_their_platform(self):
        lookup = Answers({"dockerfile": {"Dockerfile": b"FROM localhost/box\n"}})
        plan(Request(platforms=(Platform("linux", "amd64"), Platform("linux", "arm64"))), lookup)
        assert [each for each in lookup.asked if "metadata" in each] == [
            "[linux/amd64 internal] load metadata for localhost/box:latest",
            "[linux/arm64 internal] load metadata for localhost/box:latest",
        ]


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("Linux/x86_64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64", "v8")),
        ("linux/arm64", Platform("linux", "arm64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm")),
        ("linux/arm/7", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("arm64", Platform("linux", "arm64")),
        ("windows", Platform("windows", Platform.host().architecture)),
        ("macos/arm64", Platform("darwin", "arm64")),
    ],
)
def test_platforms(text, platform):
    assert platforms.parse(text) == platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonesuch", '"nonesuch": unknown operating system or architecture: invalid argument'),
        ("linux/*", '"linux/*": wildcards not yet supported: invalid argument'),
        ("linux/", '"" is an invalid component of "linux/"'),
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'),
    ],
)
def test_what_is_no_platform(text, message):
    with pytest.raises(Invalid) as raised:
        platforms.parse(text)
    assert raised.value.message.startswith(message)


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, ""),
        ({"TARGETPLATFORM": "linux/amd64"}, ""),
        ({"TARGETPLATFORM": "linux/arm/v7"}, "->arm/v7"),
        ({"TARGETARCH": "s390x"}, "->s390x"),
        ({"TARGETPLATFORM": "windows/amd64"}, "->windows/amd64"),
        ({"TARGETPLATFORM": "a/b/c/d"}, ""),
    ],
)
def test_platforms_that_a_step_works_for(environment, shown):
    assert platforms.short_change(Platform("linux", "amd64"), environment) == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("./a.git", None),
        ("a.git", None),
        ("http://h/a", None),
        ("ftp://h/a.git", None),
        ("http://[/a.git", None),
        ("https://h/a.git", GitReference("https://h/a.git")),
        ("https://u:p@h:1/a.git#b", GitReference("https://u:p@h:1/a.git", "b")),
        ("ssh://h/a#:sub", GitReference("ssh://h/a", "", "sub")),
        ("git://h/a#b:c/d", GitReference("git://h/a", "b", "c/d")),
        ("git@h:a/b.git", GitReference("git@h:a/b.git")),
        ("git@h:a?ref=x#x:y", GitReference("git@h:a", "x", "y")),
        ("https://h/a.git?tag=v1", GitReference("https://h/a.git", "refs/tags/v1")),
        ("https://h/a.git?branch=b&subdir=s", GitReference("https://h/a.git", "refs/heads/b", "s")),
        ("https://h/a.git?commit=c", GitReference("https://h/a.git", checksum="c")),
        ("https://h/a.git?keep-git-dir", GitReference("https://h/a.git", keep_git=True)),
        ("github.com/a/b", GitReference("github.com/a/b", bare=True)),
    ],
)
def test_repositories(text, found):
    assert gitrefs.parse(text) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ref=a&ref=b", 'query "ref" has multiple values'),
        ("ref=", 'query "ref" has no value'),
        ("what=1", 'unexpected query "what"'),
        ("ref=a&branch=b", 'ref conflicts: "a" vs "refs/heads/b"'),
        ("keep-git-dir=perhaps", 'invalid keep-git-dir value: "perhaps"'),
        ("subdir=x#r:y", 'subdir conflicts: "y" vs "x"'),
    ],
)
def test_queries_of_repositories_that_make_no_sense(query, message):
    with pytest.raises(Invalid) as raised:
        gitrefs.parse(f"https://h/a.git?{query}")
    assert raised.value.message == message


def test_what_is_checked_out():
    assert GitReference("r", keep_git=False).source(keep_git=True) == GitSource("r")
    assert GitReference("r").source(keep_git=True) == GitSource("r", keep_git=True)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (20_000_000, "20ms"),
        (1_500_000_000, "1.5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_661_000_000_000, "1h1m1s"),
    ],
)
def test_time_spans(ns, text):
    assert gotext.duration(ns) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, r"'\x00'"), (3, r"'\x03'"), (10, r"'\n'"), (39, r"'\''"), (65, "'A'")]
)
def test_numbers_that_are_shown_as_characters(number, text):
    assert gotext.character(number) == text
