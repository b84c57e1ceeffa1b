"""A store that makes but some hundred changes at once, as one that hosts share may."""

from contextlib import contextmanager

MOST = 127


class Few:
    """Another store; a transaction of too many changes fails."""

    def __init__(self, store, error=AssertionError):
        self._store, self._error = store, error
        self.changed = None

    def __getattr__(self, name):
        return getattr(self._store, name)

    def bucket(self, name):
        return _Bucket(self, self._store.bucket(name))

    @contextmanager
    def transaction(self):
        outer = self.changed
        with self._store.transaction():
            self.changed = set() if outer is None else outer
            try:
                yield
                if len(self.changed) > MOST:
                    raise self._error(f"a transaction of {len(self.changed)} changes")
            finally:
                self.changed = outer


class _Bucket:
    def __init__(self, few, bucket):
        self._few, self._bucket = few, bucket

    def __getattr__(self, name):
        found = getattr(self._bucket, name)
        if name not in {"put", "put_text", "insert", "delete"}:
            return found

        def change(key, *more):
            if self._few.changed is not None:
                self._few.changed.add((self._bucket.name, key))
            return found(key, *more)

        return change
