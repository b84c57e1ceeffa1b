"""A process that puts the faulty service before a real one, and takes its faults from a file, for other namespaces.

    held.py BEHIND PORT FAULTS SEEN

FAULTS is JSON with fields of `Faults`, read anew for each request where it changed; each request is a line of SEEN.
"""

import json
import sys
import threading
from pathlib import Path

from image_registry.services import faulty


def main(behind, port, faults, seen):
    class Handler(faulty._Handler):
        known = ""

        def do(self):
            with lock, Path(seen).open("a") as out:
                text = Path(faults).read_text()
                if text != Handler.known:
                    Handler.known = text
                    for name, value in json.loads(text).items():
                        setattr(self.faults, name, value)
                print(self.command, self.path, self.headers.get("Range", "-"), file=out)
            return super().do()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do

    lock = threading.Lock()
    Handler.faults, Handler.behind = faulty.Faults(), behind
    faulty._Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
