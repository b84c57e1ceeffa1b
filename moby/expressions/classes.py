"""Characters that an expression wants: one, those of a range, of a class by name, or all others."""

from collections.abc import Callable, Iterable

__all__ = ["ANY", "CATEGORIES", "NAMED", "PERL", "Test", "any_of", "category", "folded", "inverted", "ranges"]

Test = Callable[[str], bool]
"""Whether a character is wanted."""

NAMED = {
    "alnum": "09AZaz", "alpha": "AZaz", "ascii": "\0\x7f", "blank": "\t\t  ", "cntrl": "\0\x1f\x7f\x7f", "digit": "09",
    "graph": "!~", "lower": "az", "print": " ~", "punct": "!/:@[`{~", "space": "\t\r  ", "upper": "AZ",
    "word": "09AZaz__", "xdigit": "09AFaf",
}  # fmt: skip
"""The classes of POSIX, as in `[[:alpha:]]`: each two characters are a range."""
PERL = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZaz__"}
"""Those of `\\d`, `\\s` and `\\w`."""
CATEGORIES = frozenset({
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
})  # fmt: skip
"""Unicode's, of `\\pL` and `\\p{Lu}`."""


def ANY(_: str) -> bool:  # noqa: N802 - as the others that are no function
    """Want every one."""
    return True


def ranges(pairs: str) -> Test:
    """Want those between each two, both included."""
    bounds = tuple(zip(pairs[::2], pairs[1::2], strict=True))
    return lambda letter: any(low <= letter <= high for low, high in bounds)


def category(name: str) -> Test:
    """Want those of one of Unicode's categories."""
    from unicodedata import category as of  # 1 MiB that few need

    wanted = frozenset(each for each in CATEGORIES if each.startswith(name) and len(each) == 2)
    return lambda letter: of(letter) in wanted


def folded(test: Test) -> Test:
    """Want those too that differ from a wanted one by their case alone."""
    return lambda letter: any(map(test, _cases(letter)))


def _cases(letter: str) -> Iterable[str]:
    found = {letter}
    for _ in range(2):  # a long s is an S, and so an s
        found |= {each for one in found for each in (one.lower(), one.upper()) if len(each) == 1}
    if "k" in found:
        found.add("\N{KELVIN SIGN}")
    if "s" in found:
        found.add("\N{LATIN SMALL LETTER LONG S}")
    if "\N{LATIN SMALL LETTER A WITH RING ABOVE}" in found:
        found.add("\N{ANGSTROM SIGN}")
    return found


def inverted(test: Test) -> Test:
    """Want all others."""
    return lambda letter: not test(letter)


def any_of(tests: Iterable[Test]) -> Test:
    """Want what one of them does."""
    each = tuple(tests)
    return each[0] if len(each) == 1 else lambda letter: any(test(letter) for test in each)
