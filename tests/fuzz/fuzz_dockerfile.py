"""Invariant: any bytes are a Dockerfile, or are refused with lines of theirs; what one says is expanded and checked.

`python tests/fuzz/fuzz_dockerfile.py -max_total_time=60 CORPUS_FOLDER` runs until the time is up or something is found;
it needs atheris.
"""

import sys
from contextlib import suppress

from moby.contracts.builder import BuildFailed, Range
from moby.errors import Invalid

VARIABLES = {"A": "a b/c*", "PATH": "/bin", "E": ""}
SEEDS = [
    b"# syntax=docker/dockerfile:1\n# escape=`\nARG V=1\nFROM --platform=$BUILDPLATFORM a:${V:-2}\nRUN x `\n\n z\n",
    b"FROM a\nRUN --mount=type=cache,target=/x,mode=0700 --network=none <<E cat <<-'F'\n$x\nE\n\ty\n\tF\n",
    b"FROM a\nCOPY --from=b --chown=1:$A --exclude=*.o <<E c* /d/\n${A#*b} ${A//c/d}\nE\n",
    b'FROM a\nENV A="b c" D=e\\ f\nLABEL g h\nEXPOSE 1-2/udp $A\nVOLUME ["/a"]\nUSER a\nWORKDIR $A\nARG a b=$A\n',
    b"# check=skip=all;experimental=all;error=true\nfrom a as B\nHEALTHCHECK --interval=1m --retries=3 CMD x\n",
    b'FROM a\nSHELL ["a"]\nONBUILD COPY <<E /\nx\nE\nMAINTAINER a\nENTRYPOINT a $A\nCMD ["a", "\\u00e9"]\n',
    b"FROM a\nADD --checksum=sha256:1 --keep-git-dir=true --unpack https://a /\nSTOPSIGNAL 9\n",
]
IGNORE_SEEDS = [
    b"# a\n*\n!**/*.go\n/a/../b/\n  c?[a-z]\\*\n!\n",
    b"**/a*b*c*d/**\n[^a]x\r\n**\n",
    b"\xef\xbb\xbfa**b\n!a/**/b\n",
]
PATHS = ("a", "a/b", "x/abcd/y", "abc.go", "a/x/b", "[a]", "..")


def check(data: bytes) -> None:
    """Read the bytes as a Dockerfile, and check what comes of it."""
    from moby_builder.dockerfile.language import directives, parser
    from moby_builder.dockerfile.language.checks.checking import Known
    from moby_builder.dockerfile.language.checks.checking import check as findings

    lines = data.count(b"\n") + 1
    directives.syntax(data.decode("utf-8", "replace"))
    try:
        found = parser.parse(data, "D")
    except BuildFailed as error:
        assert error.message
        assert error.file == "D"
        _inside(error.ranges, lines)
        return
    for stage in found.stages:
        for instruction in (stage.origin, *stage.instructions):
            _inside((instruction.written.range,), lines)
            with suppress(BuildFailed):
                _use(instruction, stage.origin)
    with suppress(BuildFailed):
        for each in findings(found, Known(environment=lambda stage: VARIABLES)):
            _inside(each.ranges, lines)


def _inside(ranges: tuple[Range, ...], lines: int) -> None:
    assert all(1 <= each.first <= each.last <= lines for each in ranges)


def _use(instruction, origin) -> None:
    """Do with an instruction what a front end does."""
    from moby_builder.dockerfile.language import expansion, mounts, parser, words
    from moby_builder.dockerfile.language.instructions import OnBuild, Run

    def expand(text: str) -> str:
        return words.expand(text, VARIABLES).text

    expansion.expanded(instruction, expand, lambda text: words.expand(text, VARIABLES, quotes=False).text)
    if isinstance(instruction, Run):
        for each in instruction.mounts:
            mounts.read(each, expand)
    if isinstance(instruction, OnBuild):
        assert parser.parse_trigger(instruction.trigger, origin).written.range == origin.written.range


def check_ignore_file(data: bytes) -> None:
    """Read the bytes as patterns: those that are taken say the same of a path in either way to match them."""
    from moby.context.patterns import Patterns, read_ignore_file
    from moby.context.wildcards import matcher, pieces

    try:
        texts = read_ignore_file(data)
        patterns = Patterns(texts)
    except Invalid:
        return
    for path in PATHS:
        patterns.matches(path)
    for each in patterns.texts[:20]:
        parts = list(pieces(each.removeprefix("!"), deep=True))
        compiled, other = matcher(parts), matcher(parts, compiled=False)
        assert all(compiled(path) == other(path) for path in PATHS)


def main() -> None:
    """Fuzz under atheris, with the arguments of libFuzzer."""
    import atheris

    with atheris.instrument_imports(include=["moby_builder.dockerfile.language", "moby.context"]):
        import moby_builder.dockerfile.language.checks.checking
        import moby_builder.dockerfile.language.parser  # noqa: F401 - what is imported here is what coverage guides

    def both(data: bytes) -> None:
        check(data)
        check_ignore_file(data)

    atheris.Setup(sys.argv, both)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
