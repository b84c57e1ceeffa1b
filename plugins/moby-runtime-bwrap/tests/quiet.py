"""A log that keeps what it is told."""


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, message: str, **fields: object) -> None:
        self.lines.append(message)

    info = warning = error = debug


QUIET = Quiet()
