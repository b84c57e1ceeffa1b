"""Goes through a text by an expression's steps."""

from moby.expressions.reading import Step

__all__ = ["search"]


def search(steps: tuple[Step, ...], text: str) -> bool:
    """Go all ways at once, a character at a time (Thompson, 1968)."""
    here: list[int] = []
    for at in range(len(text) + 1):
        reached: set[int] = set()
        wanted = [*here, 0]  # it may begin anywhere
        ones = []
        while wanted:
            number = wanted.pop()
            if number in reached:
                continue
            reached.add(number)
            kind, what, on = steps[number]
            if kind == "end":
                return True
            if kind == "one":
                ones.append(number)
            elif kind != "place" or what(text, at):  # type: ignore[operator]
                wanted += [number + on, number + what] if kind == "or" else [number + on]  # type: ignore[operator]
        letter = text[at : at + 1]
        here = [each + 1 for each in ones if letter and steps[each][1](letter)]  # type: ignore[operator]
    return False
