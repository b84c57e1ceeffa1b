"""Both parts keep the contract, and the suite sees every mutant."""

import json
import os
from pathlib import Path

import pytest
from moby_image_registry.distribution.plugin import Config as DistributionConfig
from moby_image_registry.distribution.plugin import make as make_distribution
from moby_image_registry.folder.layouts import Layouts
from moby_image_registry.folder.plugin import Config, make

from moby.contracts.ambient import Place
from moby.contracts.image_registry import Credentials, Manifest
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound
from moby.oci.digest import sha256
from moby.testing.image_registry import ImageRegistrySuite, manifest_of, push
from moby.testing.image_registry_mutants import MUTANTS

ONE = ImageReference("example.org:5000", "one", "1")


class TestDistribution(ImageRegistrySuite):
    @pytest.fixture
    def registry(self, around):
        return make_distribution(DistributionConfig(), clock=around.clock, log=around.log("image-registry"))

    @pytest.fixture
    def name(self, reference):
        return lambda word: ImageReference(reference.domain, f"{reference.path}/{word}", "1")


class TestFolder(ImageRegistrySuite):
    @pytest.fixture
    def registry(self, tmp_path):
        return make(Config(), place=Place(tmp_path, tmp_path, tmp_path))

    @pytest.fixture
    def name(self):
        return lambda word: ImageReference("example.org:5000", f"me/{word}", "1")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, tmp_path):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(ImageRegistrySuite(), mutant.test)(
            mutant.wrap(Layouts(tmp_path)), lambda word: ImageReference("example.org", word, "1")
        )
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


class TestOfAFolder:
    @pytest.fixture
    def layouts(self, tmp_path):
        return make(Config(str(tmp_path / "images")), place=Place(tmp_path, tmp_path, tmp_path))

    def test_it_is_an_image_layout(self, layouts, tmp_path):
        manifest = push(layouts, ONE, b"layer")
        folder = tmp_path / "images/example.org+5000/one"
        assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        assert entry["annotations"] == {"org.opencontainers.image.ref.name": "1"}
        assert (folder / "blobs/sha256" / manifest.digest.hex).read_bytes() == manifest.data

    def test_nobody_is_asked_who_he_is(self, layouts):
        assert layouts.login("example.org", Credentials("me", "secret")) == ""
        assert layouts.saved("example.org") is None

    @pytest.mark.parametrize("path", ["../up", "a/../b", "/abs", "UPPER", ""])
    def test_names_that_are_none(self, layouts, path):
        with pytest.raises(Invalid, match="no name of a repository"):
            layouts.manifest(ImageReference("example.org", path, "1"))
        with pytest.raises(Invalid, match="no name of a repository"):
            layouts.manifest(ImageReference("..", "one", "1"))

    @pytest.mark.parametrize("text", ["nonsense", "[]", '{"manifests": [{}]}', '{"manifests": [{"digest": 1}]}',
                                      '{"manifests": [{"digest": "sha256:x"}]}'])  # fmt: skip
    def test_an_index_that_is_none(self, layouts, tmp_path, text):
        push(layouts, ONE, b"layer")
        (tmp_path / "images/example.org+5000/one/index.json").write_text(text)
        with pytest.raises(Corrupt, match="no index of images"):
            layouts.manifest(ONE)

    def test_blobs_that_were_changed(self, layouts, tmp_path):
        manifest = push(layouts, ONE, b"layer")
        blobs = tmp_path / "images/example.org+5000/one/blobs/sha256"
        (blobs / sha256(b"layer").hex).write_bytes(b"lager")
        with pytest.raises(Corrupt, match="not what its digest"):
            list(layouts.blob(ONE, sha256(b"layer"), 5))
        (blobs / manifest.digest.hex).write_bytes(b"{}")
        with pytest.raises(Corrupt, match="not what its digest"):
            layouts.manifest(ONE)
        (blobs / manifest.digest.hex).write_bytes(b" " * (5 << 20))
        with pytest.raises(Corrupt, match="longer than"):
            layouts.manifest(ONE)

    def test_manifests_that_are_none(self, layouts):
        with pytest.raises(Corrupt, match="not what its digest"):
            layouts.push_manifest(ONE, Manifest(Digest("sha256", "0" * 64), "x", b"{}"))
        with pytest.raises(Invalid, match="names no parts"):
            layouts.push_manifest(ONE, Manifest(sha256(b"{}"), "x", b"{}"))

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system that root can't write to")
    def test_a_folder_that_cant_be_written(self):
        with pytest.raises(HostUnfit, match="can't be written"):
            Layouts(Path("/proc/sys")).push_blob(ONE, sha256(b"x"), 1, None)

    def test_a_blob_that_cant_be_read(self, layouts, tmp_path):
        push(layouts, ONE, b"layer")
        blob = tmp_path / "images/example.org+5000/one/blobs/sha256" / sha256(b"layer").hex
        blob.unlink()
        with pytest.raises(NotFound):
            list(layouts.blob(ONE, sha256(b"layer"), 5))
        blob.mkdir()
        with pytest.raises(HostUnfit, match="can't be read"):
            list(layouts.blob(ONE, sha256(b"layer"), 5))

    def test_a_failed_push_leaves_nothing(self, layouts, tmp_path):
        with pytest.raises(Invalid):
            layouts.push_manifest(ONE, manifest_of(b"nowhere"))
        assert not list(tmp_path.rglob("*.new*"))
