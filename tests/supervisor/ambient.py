import time


class RealClock:
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class ListLog:
    def __init__(self):
        self.lines = []

    def debug(self, message, **fields):
        self.lines.append(("debug", message, fields))

    def info(self, message, **fields):
        self.lines.append(("info", message, fields))

    def warning(self, message, **fields):
        self.lines.append(("warning", message, fields))

    def error(self, message, **fields):
        self.lines.append(("error", message, fields))
