"""Names of containers: what users may choose, and what they get who choose none: a quality and a person of science."""

import re
import secrets
from collections.abc import Callable

from moby.errors import Invalid

__all__ = ["checked", "fresh"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_QUALITIES = (
    "able", "agile", "alert", "amber", "apt", "ardent", "artful", "autumn", "awake", "azure", "balmy", "blithe",
    "bold", "bonny", "brave", "breezy", "bright", "brisk", "calm", "candid", "cheery", "chipper", "civil", "clean",
    "clear", "clever", "comely", "cosy", "crisp", "curious", "dapper", "daring", "deft", "diligent", "dreamy",
    "eager", "earnest", "easy", "elated", "elegant", "epic", "exact", "fair", "famous", "fervent", "festive",
    "fleet", "fluent", "fond", "frank", "free", "fresh", "friendly", "frosty", "gallant", "generous", "gentle",
    "gifted", "glad", "golden", "good", "graceful", "grand", "great", "hale", "handy", "happy", "hardy", "hearty",
    "honest", "hopeful", "humble", "ideal", "jolly", "jovial", "keen", "kind", "lively", "loyal", "lucid", "lucky",
    "mellow", "merry", "mighty", "mindful", "modest", "neat", "nimble", "noble", "novel", "patient", "peaceful",
    "placid", "plucky", "polite", "proud", "prudent", "pure", "quick", "quiet", "radiant", "ready", "regal", "rosy",
    "sage", "serene", "sharp", "silent", "silver", "sincere", "smart", "snug", "sober", "solid", "spry", "stable",
    "steady", "still", "stoic", "sunny", "sure", "swift", "tender", "thorough", "tidy", "tranquil", "true",
    "trusty", "upbeat", "valiant", "vigilant", "vivid", "warm", "wise", "witty", "worthy", "young", "zealous",
    "zesty",
)  # fmt: skip
_PEOPLE = (
    "abel", "ampere", "archimedes", "aryabhata", "babbage", "banach", "bardeen", "bassi", "bell", "bernoulli",
    "bohr", "boltzmann", "boole", "born", "brahe", "cantor", "carson", "cauchy", "chandra", "clarke", "copernicus",
    "coulomb", "curie", "cuvier", "dalton", "darwin", "davy", "descartes", "dijkstra", "dirac", "edison",
    "einstein", "engelbart", "erdos", "euclid", "euler", "faraday", "fermat", "fermi", "feynman", "fibonacci",
    "fleming", "fourier", "franklin", "galileo", "galois", "gauss", "germain", "goodall", "hamilton", "harvey",
    "hawking", "heisenberg", "hertz", "hilbert", "hodgkin", "hooke", "hopper", "hubble", "humboldt", "huygens",
    "hypatia", "jacobi", "johnson", "joule", "kalam", "kepler", "khorana", "kirchhoff", "knuth", "kovalevskaya",
    "lagrange", "lamarr", "laplace", "lavoisier", "leakey", "leibniz", "linnaeus", "lovelace", "maxwell", "mayer",
    "mcclintock", "meitner", "mendel", "mendeleev", "mirzakhani", "moore", "morse", "nash", "newton", "nightingale",
    "nobel", "noether", "ohm", "oppenheimer", "pascal", "pasteur", "pauli", "payne", "planck", "poincare",
    "ptolemy", "raman", "ramanujan", "riemann", "ritchie", "rubin", "rutherford", "sagan", "salam", "shannon",
    "shaw", "sinoussi", "snow", "sutherland", "tesla", "thompson", "torvalds", "turing", "vaughan", "volta",
    "wallace", "watt", "wiles", "wing", "wozniak", "wright", "wu", "yalow", "yonath",
)  # fmt: skip


def checked(name: str) -> str:
    """Return a name as it is kept, without the slash that it may begin with; Invalid where it is none."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise Invalid(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def fresh(taken: Callable[[str], bool]) -> str:
    """Return a name that nobody has."""
    while True:
        for suffix in ("", *(str(each) for each in range(10))):
            name = f"{secrets.choice(_QUALITIES)}_{secrets.choice(_PEOPLE)}{suffix}"
            if not taken(name):
                return name
