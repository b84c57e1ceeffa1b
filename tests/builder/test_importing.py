"""Caches from elsewhere, asked for several times by one build."""

import io
from contextlib import nullcontext

import pytest
from moby_builder.dockerfile.exports.caches.reading import Reading
from moby_builder.dockerfile.importing import Importing
from moby_builder.dockerfile.solver.effects import Cancel

from moby.contracts.builder import CacheSource
from moby.errors import Unavailable
from moby.oci.digest import sha256


def test_a_cache_whose_reading_was_cut_off_is_read_again():
    """The first solve ends for its own reason; the next one of the same build has the cache all the same."""
    tried = []

    class Reading:
        def open(self, sources, session, begin):
            tried.append(sources)
            if len(tried) == 1:
                raise Unavailable("the build was canceled")
            return ()

    importing = Importing(Reading(), None)
    read = importing.of([CacheSource("local")])
    with pytest.raises(Unavailable):
        read(None)
    assert read(None) == importing.of([CacheSource("local")])(None) == ()
    assert importing.of([CacheSource("registry")])(None) == ()
    assert [each[0].type for each in tried] == ["local", "local", "registry"]


def test_a_manifest_that_is_no_json():
    """A client's store may hold anything; the build goes on without it."""
    told = []
    data = b'{"manifests": '

    class Session:
        def blobs(self, name):
            return self

        def read(self, digest):
            return io.BytesIO(data)

    class Watch:
        cancel = Cancel()

        def log(self, stream, text):
            told.append(text)

    reading = Reading(None, None, None, None, None)
    source = CacheSource("local", {"src": "/c", "digest": str(sha256(data))})
    assert reading.open([source], Session(), lambda name: nullcontext(Watch())) == ()
    assert told == [b"the cache /c can't be used: the cache's manifest isn't JSON\n"]
    Watch.cancel.set()
    with pytest.raises(Unavailable, match="canceled"):
        reading.open([source], Session(), lambda name: nullcontext(Watch()))
