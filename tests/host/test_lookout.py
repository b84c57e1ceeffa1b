"""Who looks again and again at what others may have changed."""

import threading

from moby.errors import Unavailable
from moby.host import lookout
from moby.host.lookout import Lookout


def test_what_fails_is_told_once_until_it_works_again(monkeypatch):
    monkeypatch.setattr(lookout, "_EVERY_S", 0.001)
    errors = [Unavailable("first"), OSError("first, too"), None, OSError("second"), Unavailable("second, too"), None]
    left, told, done = iter(errors), [], threading.Event()

    def look():
        error = next(left, done)
        if error is done:
            done.set()
        elif error is not None:
            raise error

    looking = Lookout(look, told.append, "here")
    assert done.wait(60)
    looking.close()
    assert told == [errors[0], errors[3]]
    assert "here" not in {each.name for each in threading.enumerate()}
