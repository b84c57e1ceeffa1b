"""Checks of Dockerfiles: what each rule finds, with its lines, and what it leaves alone."""

import textwrap
from collections.abc import Mapping

import pytest
from moby_builder.dockerfile.language.checks.checking import Known, check, check_beginning
from moby_builder.dockerfile.language.checks.report import failure
from moby_builder.dockerfile.language.checks.rules import RULES
from moby_builder.dockerfile.language.parser import parse

from moby.context.patterns import Patterns
from moby.contracts.builder import BuildFailed

PLATFORMS = {"TARGETPLATFORM": "linux/amd64", "BUILDPLATFORM": "linux/amd64"}


def nothing_set(stage: int) -> Mapping[str, str]:
    return {"HOME": "/root"}


KNOWN = Known(predefined=PLATFORMS, environment=nothing_set)

AS = "'{}' and '{}' keywords' casing do not match"
CASE = "Command '{}' should match the case of the command majority ({})"
LEGACY = '"{0} key=value" should be used instead of legacy "{0} key value" format'
SECRET = 'Do not use ARG or ENV instructions for sensitive data ({} "{}")'
JSON = "JSON arguments recommended for {} to prevent unintended behavior related to OS signals"
RESERVED = 'Stage name should not use the same name as reserved stage "{}"'
RELATIVE = 'Relative workdir "{}" can have unexpected results if the base image changes'
UNDECLARED = "FROM argument '{}' is not declared"
PROTOCOL = "Defined protocol '{}' in EXPOSE instruction should be lowercase"
ONCE = "Multiple {} instructions should not be used in the same stage because only the last one will be used"
DESCRIBE = "Comment for {} should follow the format: `# {} <description>`"
VARIABLE = "Usage of undefined variable '${}'"
CONSTANT = 'FROM --platform flag should not use constant value "{}"'
REDUNDANT = "Setting platform to predefined {} in FROM is redundant as this is the default behavior"
DEFAULT = "Default value for ARG {} results in empty or invalid base image name"
PORT = "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'"
ON = "# check=experimental=all\n"

FOUND = [
    ("StageNameCasing", "FROM a AS B", "Stage name 'B' should be lowercase", 1),
    ("FromAsCasing", "FROM a as b", AS.format("as", "FROM"), 1),
    ("FromAsCasing", "from a AS b", AS.format("AS", "from"), 1),
    ("FromAsCasing", "FROM a As b", AS.format("As", "FROM"), 1),
    ("NoEmptyContinuation", "FROM a\nRUN b \\\n\n c", "Empty continuation line", 4),
    ("ConsistentInstructionCasing", "FROM a\nrun b", CASE.format("run", "uppercase"), 2),
    ("ConsistentInstructionCasing", "from a\nrun b\nUSER c", CASE.format("USER", "lowercase"), 3),
    ("ConsistentInstructionCasing", "FROM a\nRun b", CASE.format("Run", "uppercase"), 2),
    ("DuplicateStageName", "FROM a AS b\nFROM a AS b", 'Duplicate stage name "b", stage names should be unique', 2),
    ("ReservedStageName", "FROM a AS scratch", RESERVED.format("scratch"), 1),
    ("ReservedStageName", "FROM a AS context", RESERVED.format("context"), 1),
    ("JSONArgsRecommended", "FROM a\nCMD b", JSON.format("CMD"), 2),
    ("JSONArgsRecommended", "from a\nentrypoint b", JSON.format("entrypoint"), 2),
    ("MaintainerDeprecated", "FROM a\nMAINTAINER b", "Maintainer instruction is deprecated in favor of using label", 2),
    ("UndefinedArgInFrom", "FROM a$B", UNDECLARED.format("B"), 1),
    ("UndefinedArgInFrom", "ARG VERSION=1\nFROM a:${VERSOIN:-1}",
     UNDECLARED.format("VERSOIN") + " (did you mean VERSION?)", 2),
    ("UndefinedArgInFrom", "FROM --platform=${BUILDPLATFROM:-linux} a AS linux",
     UNDECLARED.format("BUILDPLATFROM") + " (did you mean BUILDPLATFORM?)", 1),
    ("WorkdirRelativePath", "FROM a\nWORKDIR b", RELATIVE.format("b"), 2),
    ("WorkdirRelativePath", "FROM a\nARG B=c\nWORKDIR $B", RELATIVE.format("c"), 3),
    ("UndefinedVar", "FROM a\nUSER $B", VARIABLE.format("B"), 2),
    ("UndefinedVar", "FROM a\nUSER $HOM", VARIABLE.format("HOM") + " (did you mean $HOME?)", 2),
    ("UndefinedVar", "FROM scratch\nCOPY $B /", VARIABLE.format("B"), 2),
    ("UndefinedVar", "FROM a\nARG B=$C", VARIABLE.format("C"), 2),
    ("UndefinedVar", "FROM a\nENV B=${C:-d}", VARIABLE.format("C"), 2),
    ("UndefinedVar", "FROM a\nCOPY <<E /x\n$B\nE", VARIABLE.format("B"), 2),
    ("UndefinedVar", "FROM a\nRUN --mount=target=$B c", VARIABLE.format("B"), 2),
    ("UndefinedVar", "FROM a AS b\nENV NAME=1\nFROM b\nUSER $NAM",
     VARIABLE.format("NAM") + " (did you mean $NAME?)", 4),
    ("MultipleInstructionsDisallowed", 'FROM a\nCMD ["b"]\nCMD ["c"]', ONCE.format("CMD"), 2),
    ("MultipleInstructionsDisallowed", 'FROM a\nENTRYPOINT ["b"]\nENTRYPOINT ["c"]', ONCE.format("ENTRYPOINT"), 2),
    ("MultipleInstructionsDisallowed", "FROM a\nHEALTHCHECK NONE\nHEALTHCHECK NONE", ONCE.format("HEALTHCHECK"), 2),
    ("LegacyKeyValueFormat", "FROM a\nENV B c", LEGACY.format("ENV"), 2),
    ("LegacyKeyValueFormat", "from a\nlabel b c", LEGACY.format("label"), 2),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", REDUNDANT.format("$TARGETPLATFORM"), 1),
    ("SecretsUsedInArgOrEnv", "FROM a\nENV API_KEY=b", SECRET.format("ENV", "API_KEY"), 2),
    ("SecretsUsedInArgOrEnv", "FROM a\nARG password", SECRET.format("ARG", "password"), 2),
    ("SecretsUsedInArgOrEnv", "FROM a\nARG GITHUB_TOKEN", SECRET.format("ARG", "GITHUB_TOKEN"), 2),
    ("InvalidDefaultArgInFrom", "ARG B\nFROM a:$B", DEFAULT.format("a:$B"), 2),
    ("InvalidDefaultArgInFrom", "ARG B\nFROM $B", DEFAULT.format("$B"), 2),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/arm64 a AS b", CONSTANT.format("linux/arm64"), 1),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=arm64 a", CONSTANT.format("arm64"), 1),
    ("InvalidDefinitionDescription", ON + "# c\nFROM a AS b", DESCRIBE.format("FROM", "b"), 3),
    ("InvalidDefinitionDescription", ON + "# c\nARG B=1\nFROM a:$B", DESCRIBE.format("ARG", "B"), 3),
    ("InvalidDefinitionDescription", ON + "FROM a\n# D\nARG B C", DESCRIBE.format("ARG", "<arg_key>"), 4),
    ("ExposeProtoCasing", "FROM a\nEXPOSE 1/TCP", PROTOCOL.format("1/TCP"), 2),
    ("ExposeInvalidFormat", "FROM a\nEXPOSE 1:2", PORT.format("1:2"), 2),
    ("ExposeInvalidFormat", "FROM a\nARG B=127.0.0.1:1:2/udp\nEXPOSE $B", PORT.format("127.0.0.1:1:2/udp"), 3),
    ("ExposeInvalidFormat", "FROM a\nEXPOSE [::1]:1:2", PORT.format("[::1]:1:2"), 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "source", "message", "line"), FOUND, ids=[f"{each[0]}-{each[2]}"[:60] for each in FOUND]
)
def test_what_is_found(rule: str, source: str, message: str, line: int) -> None:
    (found,) = check(parse(source.encode(), "D"), KNOWN)
    assert (found.rule, found.message, found.ranges[0].first) == (rule, message, line)
    assert (found.detail, found.url) == (RULES[rule].description, RULES[rule].url)
    assert (found.file, found.source) == ("D", source)


def test_every_rule_finds_something() -> None:
    assert {each[0] for each in FOUND} | {"CopyIgnoredFile", "InvalidBaseImagePlatform"} == set(RULES)


def test_the_page_of_a_rule() -> None:
    assert RULES["JSONArgsRecommended"].url == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert RULES["InvalidBaseImagePlatform"].url == ""
    assert RULES["UndefinedArgInFrom"].url == "https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/"


FINE = [
    "FROM a AS b", "from a as b", "FROM a\nRUN b \\\n# c\n d", "FROM a",
    'FROM a\nSHELL ["b"]\nCMD c', 'FROM a AS b\nSHELL ["b"]\nFROM b\nCMD c', "FROM a\nWORKDIR /b\nWORKDIR c",
    "FROM a AS b\nWORKDIR /b\nFROM b\nWORKDIR c", "FROM a\nARG B\nUSER $B", "FROM a\nENV B=1\nUSER $B",
    "FROM a\nUSER $HOME",
    "FROM scratch\nENV B=$PATH", "FROM a AS b\nARG C\nFROM b\nUSER $C", "FROM a\nRUN echo $B", "FROM a\nCMD [\"$B\"]",
    "FROM a\nUSER '$B'", "FROM a\nCOPY <<'E' /x\n$B\nE", "FROM a\nCOPY --from=$B c d",
    "FROM a AS b\nCMD [\"c\"]\nFROM b\nCMD [\"d\"]",
    "FROM a\nENV B=c", "FROM a\nENV PUBLIC_KEY=b KEY_FILE=c TOKEN_VERSION=d MONKEY=e KEYS=f", "ARG API_KEY\nFROM a",
    "ARG B=c\nFROM $B", "FROM --platform=$BUILDPLATFORM a", "FROM --platform=linux/arm64 a AS b-arm64",
    "ARG P=linux/arm64\nFROM --platform=$P a",
    "FROM --platform=arm64 a AS linux-b", "FROM --platform=a//b a", ON + "# b c\nFROM a AS b",
    ON + "# c\n\nARG B\nFROM a", ON + "# c\n#\nFROM a AS b",
    ON + "# c\nFROM a", "# c\nFROM a AS b", "FROM a\nEXPOSE 1 2/udp 3-4/sctp", "FROM a\nEXPOSE 1/FOO",
    "FROM a\nCOPY b /",
    "FROM a AS b\nUSER $X\nFROM a", "FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=1",
]  # fmt: skip


@pytest.mark.parametrize("source", FINE)
def test_what_is_fine(source: str) -> None:
    assert check(parse(source.encode()), KNOWN) == ()


def test_variables_of_an_image_that_nobody_knows() -> None:
    file = parse(b"FROM a AS b\nUSER $B\nFROM b\nUSER $C")
    assert check(file) == ()


def test_an_argument_that_is_given() -> None:
    file = parse(b"ARG B\nFROM a:$B\nARG C=$D\nARG B\nUSER $B$C")
    known = Known(given={"B": "1", "C": "2"}, environment=nothing_set)
    assert [each.rule for each in check(file, known)] == ["InvalidDefaultArgInFrom"]


@pytest.mark.parametrize(
    ("target", "lines"),
    [("", [8]), ("d", [8]), ("2", [6]), ("a1", [2]), ("A1", [2]), ("b1", [2, 4]), ("c1", [2, 4, 6]), ("nobody", [8])],
)
def test_stages_that_the_target_does_not_need(target: str, lines: list[int]) -> None:
    source = textwrap.dedent("""\
        FROM x AS a1
        USER $A
        FROM a1 AS b1
        USER $B
        FROM x AS c1
        USER $C
        FROM x AS d
        USER $D
        """)
    takes = {"c1": source.replace("USER $C", "RUN --mount=from=b1,target=/x y $C\nCOPY --from=1 $C z".splitlines()[0])}
    file = parse(takes.get(target, source).encode())
    found = check(file, Known(target=target, environment=nothing_set))
    wanted = [each for each in lines if not (target == "c1" and each == 6)]
    assert [each.ranges[0].first for each in found] == wanted


def test_a_copy_needs_its_stage_by_name_and_number() -> None:
    file = parse(b"FROM x AS A\nUSER $A\nFROM x\nUSER $B\nFROM x\nCOPY --from=a --link b c\nCOPY --from=1 d e")
    assert [each.ranges[0].first for each in check(file, KNOWN) if each.rule == "UndefinedVar"] == [2, 4]


IGNORED = [
    (["b"], "COPY b /", "Copy", "b"), (["b"], "COPY ./b/c /", "Copy", "b/c"), (["b"], "ADD /b /", "Add", "/b"),
    (["*.o"], "COPY b.o c /", "Copy", "b.o"),
    (["**"], "COPY . /", "Copy", "."), (["*"], "ADD / /", "Add", "/"),
]  # fmt: skip


@pytest.mark.parametrize(("patterns", "instruction", "verb", "path"), IGNORED)
def test_a_copy_of_what_is_ignored(patterns: list[str], instruction: str, verb: str, path: str) -> None:
    (found,) = check(parse(f"FROM a\n{instruction}".encode()), Known(ignore=Patterns(patterns)))
    assert found.rule == "CopyIgnoredFile"
    assert found.message == f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'


@pytest.mark.parametrize(
    ("patterns", "instruction"),
    [(["b"], "COPY c /"), (["b", "!c"], "COPY b /"), (["b"], "COPY --from=x b /"),
     (["**"], "ADD https://b/c git@b:c.git /"), (["b"], "COPY . /"),
     (["b"], "COPY <<b /\nb")],
)  # fmt: skip
def test_a_copy_of_what_is_not_ignored(patterns: list[str], instruction: str) -> None:
    assert check(parse(f"FROM a\n{instruction}".encode()), Known(ignore=Patterns(patterns))) == ()


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        ("FROM a AS B\nMAINTAINER c\nrun d \\\n\n e\nNOTHING\nMAINTAINER f",
         ["NoEmptyContinuation", "StageNameCasing", "MaintainerDeprecated"]),
        ("# check=skip=StageNameCasing\nFROM a AS B\nNOTHING", []),
        ("# check=x\nFROM a AS B\nNOTHING", []), ("MAINTAINER a\nNOTHING", []), ("FROM a AS B\nRUN <<E", []),
        ("NOTHING", []), ("", []),
    ],
)  # fmt: skip
def test_the_beginning_of_a_file_that_is_refused(source: str, rules: list[str]) -> None:
    assert [each.rule for each in check_beginning(source.encode())] == rules


BAD = "FROM a\nMAINTAINER b\nCMD c\n"


@pytest.mark.parametrize(
    ("directive", "rules"),
    [
        ("", ["MaintainerDeprecated", "JSONArgsRecommended"]),
        ("# check=skip=MaintainerDeprecated\n", ["JSONArgsRecommended"]),
        ("# check=skip=MaintainerDeprecated,JSONArgsRecommended;error=false\n", []),
        ("# check = skip = all ; error = true\n", ["MaintainerDeprecated", "JSONArgsRecommended"]),
        ("# check=skip=all;error=true\n", []),
        ("# check=experimental=none;skip=JSONArgsRecommended\n", ["MaintainerDeprecated"]),
        ("# check=skip=maintainerdeprecated\n", ["MaintainerDeprecated", "JSONArgsRecommended"]),
    ],
)
def test_rules_that_are_skipped(directive: str, rules: list[str]) -> None:
    if directive.startswith("# check = skip = all ;"):
        # Only the first word counts.
        with pytest.raises(BuildFailed, match='invalid check option "skip"'):
            check(parse((directive + BAD).encode()))
        return
    assert [each.rule for each in check(parse((directive + BAD).encode()))] == rules


def test_a_rule_that_is_skipped_for_an_instruction() -> None:
    source = "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER b\n"
    source += "# check=skip=all=\nMAINTAINER c\n# check=x\nMAINTAINER d\n"
    assert [each.ranges[0].first for each in check(parse(source.encode()))] == [5, 7]


def test_an_experimental_rule_for_an_instruction() -> None:
    source = "FROM a\n# check=experimental=InvalidDefinitionDescription\n# x\nARG b\n"
    assert [each.rule for each in check(parse(source.encode()))] == ["InvalidDefinitionDescription"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", 'invalid check option "x"'), ("skips=all", 'invalid check option "skips"'),
        ("error=maybe", 'failed to parse check option "error=maybe": invalid boolean: maybe'),
    ],
)  # fmt: skip
def test_a_directive_that_makes_no_sense(value: str, message: str) -> None:
    with pytest.raises(BuildFailed) as error:
        check(parse(f"# check={value}\nFROM a".encode()))
    assert error.value.message == f"failed to parse check options: {message}"


def test_a_file_that_is_to_be_refused() -> None:
    strict, lenient = parse(f"# check=error=true\n{BAD}".encode()), parse(BAD.encode())
    refused = failure(strict, check(strict))
    assert refused is not None
    assert refused.message == "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated"
    assert failure(lenient, check(lenient)) is None
    assert failure(strict, ()) is None


@pytest.mark.parametrize(
    "source",
    ["ARG A=${\nFROM a$A", "FROM ${\nUSER $B", "FROM a\nUSER ${\nMAINTAINER b", "FROM a AS b\nRUN --mount=x c"],
)
def test_what_can_not_be_expanded_is_told_by_who_builds_it(source: str) -> None:
    assert {each.rule for each in check(parse(source.encode()), KNOWN)} <= {"MaintainerDeprecated", "UndefinedVar"}
