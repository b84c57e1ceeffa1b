"""Prometheus' text format, 0.0.4 (prometheus.io, exposition formats): figures in, text out."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

__all__ = ["CONTENT_TYPE", "Family", "text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@frozen
class Family:
    """Figures of one name; `samples` are label values, in the order of `labels`, and the figure."""

    name: str
    type: str
    """`counter` or `gauge`."""
    help: str
    labels: tuple[str, ...] = ()
    samples: list[tuple[tuple[str, ...], float]] = field(factory=list)

    def add(self, value: float | None, *labels: str) -> None:
        """Add a figure; one that isn't known is left out."""
        if value is not None:
            self.samples.append((labels, value))


def text(families: Iterable[Family]) -> bytes:
    """Return figures as text; a family without any is left out."""
    lines = []
    for each in families:
        if each.samples:
            lines += [f"# HELP {each.name} {_escaped(each.help)}", f"# TYPE {each.name} {each.type}"]
            lines += [_line(each.name, dict(zip(each.labels, labels, strict=True)), value)
                      for labels, value in each.samples]  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode()


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(each, quote=True)}"' for key, each in labels.items())
    return f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _escaped(said: str, *, quote: bool = False) -> str:
    found = said.replace("\\", r"\\").replace("\n", r"\n")
    return found.replace('"', r"\"") if quote else found
