"""Takes a command's text apart as docker compose does: quotes and backslashes, and nothing of a shell besides."""

__all__ = ["split"]


def split(text: str) -> list[str]:
    """Return the words; ValueError for a quote that nothing ends. What an operator of a shell begins is left out."""
    return _Words(text).split()


class _Words:
    def __init__(self, text: str) -> None:
        self._text = text
        self._words: list[str] = []
        self._word: str | None = None
        self._quote = ""
        """What ends what is quoted now: `'`, `"`, a backtick, or the `)` of `$(`."""

    def split(self) -> list[str]:
        escaped = False
        for char in self._text:
            if escaped:
                self._add({"t": "\t", "n": "\n"}.get(char, char))
                escaped = False
            elif char == "\\" and self._quote != "'":
                escaped = True
            elif char in " \t\r\n":
                if self._quote:
                    self._add(char)
                else:
                    self._end()
            elif char in ";&|<>" and not self._quote:
                self._redirected(char)
                break
            else:
                self._take(char)
        if escaped or self._quote:
            raise ValueError(f"{self._text!r} isn't closed")
        self._end()
        return self._words

    def _add(self, char: str) -> None:
        self._word = (self._word or "") + char

    def _end(self) -> None:
        if self._word is not None:
            self._words.append(self._word)
        self._word = None

    def _redirected(self, char: str) -> None:
        """A number before `>` is a descriptor, no word."""
        if char == ">" and self._word and self._word[0].isdecimal():
            self._word = None

    def _take(self, char: str) -> None:
        if char in "'\"" and self._quote in ("", char):
            self._quote = "" if self._quote else char
            self._word = self._word or ""
            return
        if char == "`" and self._quote in ("", "`"):
            self._quote = "" if self._quote else "`"
        elif char == ")" and self._quote in ("", ")"):
            self._quote = "" if self._quote else ")"
        elif char == "(" and self._quote in ("", ")"):
            if self._quote or not (self._word or "").endswith("$"):
                raise ValueError(f"{self._text!r} has a parenthesis that isn't quoted")
            self._quote = ")"
        self._add(char)
