"""Sources that are fetched: images, layouts, archives that are sent, files of web servers, repositories."""

import gzip
import http.server
import io
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from benches import Bench, Ear, copying, tar
from lenders import Lender
from moby_builder.dockerfile.operations import (
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Node,
    ResultSource,
    StreamSource,
)

from moby.contracts.builder import BuildFailed
from moby.contracts.image_registry import Credentials
from moby.contracts.images import ImageConfig
from moby.contracts.types import Digest, Platform
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unavailable
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.digest import sha256
from moby.oci.image import Descriptor, Index, Manifest
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.values import evolve

LAYER = tar(etc=None, **{"etc/os": "mine"})


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted and served in the namespaces that it finds."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path / "bench") as found:
        yield found
        assert [each.key for each in found.snapshotter.list() if each.key.startswith("builder/")] == []
        fetched = found.place.run / "fetched"
        assert not fetched.exists() or list(fetched.iterdir()) == []


def fetched(bench, operation, session=None, ear=None):
    """Fetch a source; return what it stands for, and what is in it."""
    ear = ear or Ear()
    with bench.build(session or Lender()) as doing:
        node = Node(operation)
        identity = doing.identify(node, ear)
        return identity, bench.seen(doing.perform(node, (), ear))


class TestImages:
    def reference(self, bench, name):
        bench.image(name, LAYER)
        list(bench.images.push(references.parse(name)))
        return references.parse(name)

    def test_one_that_is_here(self, bench):
        operation = bench.image("here", LAYER).operation
        identity, found = fetched(bench, operation)
        assert identity == f"image:{bench.images.get('here').id}"
        assert found["etc/os"][2] == "mine"

    def test_one_that_isn_t_here(self, bench):
        reference = self.reference(bench, "example.org/a:1")
        bench.images.remove("example.org/a:1")
        ear = Ear()
        asked = []

        class Asked(Lender):
            def credentials(self, host):
                asked.append(host)
                return Credentials("me", "secret")

        operation = ImageSource(reference, Platform.host())
        assert fetched(bench, operation, Asked(), ear)[1]["etc/os"][2] == "mine"
        assert asked == ["example.org"]
        assert any(name.startswith("extracting ") and done for name, _, _, done in ear.progresses)
        assert any(name.startswith("downloading ") and done for name, _, _, done in ear.progresses)

    def test_one_that_isn_t_needed_is_not_fetched(self, bench):
        reference = self.reference(bench, "example.org/a:1")
        image = bench.images.get("example.org/a:1")
        bench.images.remove("example.org/a:1", force=True)
        with bench.build(Lender()) as doing:
            node = Node(ImageSource(reference, Platform.host()))
            assert doing.image(node, Ear()).raw_config == image.raw_config
            assert doing.identify(node, Ear()) == f"image:{image.id}"
            assert bench.images.list(all=True) == ()
            assert bench.seen(doing.perform(node, (), Ear()))["etc/os"][2] == "mine"
        assert bench.images.get("example.org/a:1").id == image.id

    @pytest.mark.parametrize("is_here", [True, False])
    def test_one_whose_tag_moves_meanwhile(self, bench, is_here):
        reference = self.reference(bench, "example.org/a:1")
        pinned = bench.images.get("example.org/a:1").digests[0]
        if not is_here:
            bench.images.remove("example.org/a:1", force=True)
        with bench.build(Lender()) as doing:
            found = doing.image(Node(ImageSource(reference, Platform.host(), pull=True)), Ear())
            if is_here:
                bench.images.remove("example.org/a:1")
                list(bench.images.pull(pinned))  # by somebody else
            bench.image("example.org/b:1", tar(new="new"))
            bench.images.tag("example.org/b:1", reference)
            list(bench.images.push(reference))
            later = Node(ImageSource(evolve(reference, digest=found.digests[0].digest), Platform.host()))
            assert bench.seen(doing.perform(later, (), Ear()))["etc/os"][2] == "mine"
        assert bench.images.get("example.org/a:1").id == found.id

    def test_one_that_goes_meanwhile(self, bench):
        reference = self.reference(bench, "example.org/a:1")
        bench.images.remove("example.org/a:1", force=True)
        with bench.build(Lender()) as doing:
            node = Node(ImageSource(reference, Platform.host()))
            doing.image(node, Ear())
            shutil.rmtree(bench.root / "registry")
            with pytest.raises(NotFound, match=r"example\.org/a:1: failed to resolve source metadata"):
                doing.perform(node, (), Ear())

    @pytest.mark.parametrize("tag", ["", "1"])
    def test_one_by_its_digest(self, bench, tag):
        reference = self.reference(bench, "example.org/a:1")
        digest = bench.images.get("example.org/a:1").digests[0].digest
        bench.images.remove("example.org/a:1", force=True)
        pinned = ImageSource(evolve(reference, tag=tag, digest=digest), Platform.host(), pull=True)
        first = fetched(bench, pinned)
        shutil.rmtree(bench.root / "registry")
        assert fetched(bench, pinned) == first

    def test_a_newer_one_is_looked_for(self, bench):
        reference = self.reference(bench, "example.org/a:1")
        new = bench.image("example.org/a:1", tar(new="new")).operation
        list(bench.images.push(reference))
        bench.image("example.org/a:1", LAYER)
        assert "new" not in fetched(bench, new)[1]
        assert "new" in fetched(bench, evolve(new, pull=True))[1]

    def test_another_platform_s_is_not_taken(self, bench):
        self.reference(bench, "example.org/a:1")
        other = ImageSource(references.parse("example.org/a:1"), Platform("linux", "s390x"))
        with pytest.raises(NotFound):
            fetched(bench, other)

    def test_one_that_nobody_has(self, bench):
        source = ImageSource(references.parse("example.org/none"), Platform.host())
        with pytest.raises(NotFound, match=r"^[^:]*example\.org/none:latest"):
            fetched(bench, source)

    def test_a_build_that_is_given_up(self, bench):
        reference = self.reference(bench, "example.org/a:1")
        bench.images.remove("example.org/a:1")
        ear = Ear()
        ear.progress = lambda *_, **__: ear.cancel.set()
        with pytest.raises(Unavailable, match="canceled"):
            fetched(bench, ImageSource(reference, Platform.host()), ear=ear)


class Blobs:
    """A layout that a client keeps."""

    def __init__(self):
        self.blobs = {}

    def add(self, data, media_type=formats.LAYER, platform=None):
        self.blobs[sha256(data)] = data
        return Descriptor(media_type, sha256(data), len(data), platform)

    def read(self, digest):
        if digest not in self.blobs:
            raise NotFound(f"no blob {digest}")
        return io.BytesIO(self.blobs[digest])


class TestLayouts:
    def manifest(self, blobs, layer, platform=None):
        config = formats.dump_config(ImageConfig(), platform or Platform.host(), [sha256(layer)])
        parts = blobs.add(config, formats.CONFIG), (blobs.add(gzip.compress(layer, mtime=0), formats.LAYER_GZIP),)
        return blobs.add(formats.dump_manifest(Manifest(*parts)), formats.MANIFEST, platform)

    def test_an_image(self, bench):
        blobs = Blobs()
        found = self.manifest(blobs, LAYER)
        session = Lender(stores={"box": blobs})
        source = LayoutSource("box", found.digest, Platform.host())
        identity, files = fetched(bench, source, session)
        assert files["etc/os"][2] == "mine"
        reads = []
        blobs.read, read = lambda digest: reads.append(str(digest)) or read(digest), blobs.read
        assert fetched(bench, source, session) == (identity, files)
        assert reads == [str(found.digest), identity.removeprefix("image:")]
        assert bench.images.list(all=True) == ()
        bench.images.collect()
        assert (bench.snapshotter.list(), bench.content.list()) == ((), ())

    def test_layers_that_aren_t_needed_are_not_fetched(self, bench):
        blobs = Blobs()
        found = self.manifest(blobs, LAYER)
        reads = []
        blobs.read, read = lambda digest: reads.append(digest) or read(digest), blobs.read
        with bench.build(Lender(stores={"box": blobs})) as doing:
            node = Node(LayoutSource("box", found.digest, Platform.host()))
            config = doing.image(node, Ear()).id
            assert doing.identify(node, Ear()) == f"image:{config}"
            assert set(reads) == {found.digest, config}

    def test_an_image_without_layers(self, bench):
        blobs = Blobs()
        config = formats.dump_config(ImageConfig(), Platform.host(), [])
        found = blobs.add(formats.dump_manifest(Manifest(blobs.add(config, formats.CONFIG), ())), formats.MANIFEST)
        session = Lender(stores={"box": blobs})
        assert fetched(bench, LayoutSource("box", found.digest, Platform.host()), session)[1] == {}

    def test_layers_that_are_wrong(self, bench):
        blobs = Blobs()
        found = self.manifest(blobs, LAYER)
        packed = sha256(gzip.compress(LAYER, mtime=0))
        blobs.blobs[packed] = blobs.blobs[packed][:-1] + b"x"
        session = Lender(stores={"box": blobs})
        with pytest.raises(Corrupt, match=packed.hex):
            fetched(bench, LayoutSource("box", found.digest, Platform.host()), session)
        config = formats.dump_config(ImageConfig(), Platform.host(), [sha256(LAYER)])
        alone = blobs.add(formats.dump_manifest(Manifest(blobs.add(config, formats.CONFIG), ())), formats.MANIFEST)
        with pytest.raises(Invalid, match="has 0 layers, but its config names 1"):
            fetched(bench, LayoutSource("box", alone.digest, Platform.host()), session)
        assert (bench.snapshotter.list(), bench.content.list()) == ((), ())

    def test_the_platform_of_an_index(self, bench):
        blobs, other = Blobs(), Platform("linux", "s390x")
        each = [self.manifest(blobs, LAYER, Platform.host()), self.manifest(blobs, tar(other="x"), other)]
        index = blobs.add(formats.dump_index(Index(tuple(each))), formats.INDEX)
        session = Lender(stores={"box": blobs})
        assert "other" in fetched(bench, LayoutSource("box", index.digest, other), session)[1]
        with pytest.raises(NotFound, match="no match for platform in manifest"):
            fetched(bench, LayoutSource("box", index.digest, Platform("linux", "arm64")), session)

    def test_what_is_no_image(self, bench):
        blobs = Blobs()
        session = Lender(stores={"box": blobs})
        with pytest.raises(Invalid):
            fetched(bench, LayoutSource("box", blobs.add(b"{}").digest, Platform.host()), session)
        with pytest.raises(Invalid, match="bigger than"):
            fetched(bench, LayoutSource("box", blobs.add(bytes(5 << 20)).digest, Platform.host()), session)
        nested = blobs.add(formats.dump_index(Index((blobs.add(b"x"),))), formats.INDEX)
        for _ in range(4):
            nested = blobs.add(formats.dump_index(Index((nested,))), formats.INDEX)
        with pytest.raises(Invalid, match="nested deeper"):
            fetched(bench, LayoutSource("box", nested.digest, Platform.host()), session)
        with pytest.raises(NotFound):
            fetched(bench, LayoutSource("none", nested.digest, Platform.host()), session)


class TestStreams:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
    def test_an_archive(self, bench, pack):
        first = fetched(bench, StreamSource("s"), Lender(streams={"s": pack(tar(Dockerfile="FROM scratch"))}))
        again = fetched(bench, StreamSource("s"), Lender(streams={"s": tar(Dockerfile="FROM scratch")}))
        assert first == again
        assert first[1] == {"Dockerfile": ("-644", "0:0", "FROM scratch")}

    def test_a_dockerfile_alone(self, bench):
        _, found = fetched(bench, StreamSource("s"), Lender(streams={"s": b"FROM scratch\n"}))
        assert found["Dockerfile"][2] == "FROM scratch\n"

    def test_one_that_breaks_off(self, bench):
        with pytest.raises(BuildFailed, match="failed to unpack the archive"):
            fetched(bench, StreamSource("s"), Lender(streams={"s": tar(a="a" * 2000)[:1200]}))
        with pytest.raises(NotFound):
            fetched(bench, StreamSource("none"))


class Site(http.server.BaseHTTPRequestHandler):
    """Serves what a test says, and notes what it is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        if status == 200 and "ETag" in headers and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(apart):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.answers, server.asked = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


DATE = "Tue, 15 Nov 1994 12:45:26 GMT"


class TestWeb:
    def test_a_file(self, bench, site):
        site.answers["/a"] = 200, {"Last-Modified": DATE, "ETag": '"1"'}, b"content"
        source = HttpSource(f"{site.url}/a", "name", mode=0o640, owner=(3, 4))
        ear = Ear()
        with bench.build(Lender()) as doing:
            identity = doing.identify(Node(source), ear)
            with bench.workspace.reading(doing.perform(Node(source), (), ear)) as root:
                found = (root / "name").stat()
                assert (root / "name").read_bytes() == b"content"
        assert (oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime) == ("0o100640", 3, 4, 784903526)
        assert ear.progresses[-1] == (f"downloading {site.url}/a", 7, 7, True)
        assert len(site.asked) == 1
        assert fetched(bench, source)[0] == identity

    def test_what_hasn_t_changed_isn_t_fetched(self, bench, site):
        site.answers["/a"] = 200, {"ETag": '"1"'}, b"content"
        node = Node(HttpSource(f"{site.url}/a", "name"))
        identities = []
        for _ in range(2):
            with bench.build(Lender()) as doing:
                identities.append(doing.identify(node, Ear()))
        site.answers["/a"] = 200, {"ETag": '"2"'}, b"changed"
        with bench.build(Lender()) as doing:
            identities.append(doing.identify(node, Ear()))
        assert identities[0] == identities[1] != identities[2]
        assert [headers.get("If-None-Match") for _, headers in site.asked] == [None, '"1"', '"1"']

    def test_by_the_time_of_change(self, bench, site):
        site.answers["/a"] = 200, {"Last-Modified": DATE}, b"content"
        node = Node(HttpSource(f"{site.url}/a", "name"))
        with bench.build(Lender()) as doing:
            first = doing.identify(node, Ear())
        site.answers["/a"] = 304, {}, b""
        with bench.build(Lender()) as doing:
            assert doing.identify(node, Ear()) == first
            site.answers["/a"] = 200, {}, b"other content"
            with pytest.raises(BuildFailed, match="digest mismatch"):
                doing.perform(node, (), Ear())
        assert site.asked[1][1]["If-Modified-Since"] == DATE

    def test_a_checksum_says_it_all(self, bench, site):
        site.answers["/a"] = 200, {}, b"content"
        right = HttpSource(f"{site.url}/a", "name", sha256(b"content"))
        with bench.build(Lender()) as doing:
            doing.identify(Node(right), Ear())
            assert site.asked == []
        assert fetched(bench, right)[1]["name"][2] == "content"
        wrong = HttpSource(f"{site.url}/a", "name", Digest("sha256", "0" * 64))
        with pytest.raises(BuildFailed, match=f"digest mismatch {sha256(b'content')}: sha256:000"):
            fetched(bench, wrong)

    def test_an_archive_that_is_the_context(self, bench, site):
        site.answers["/a"] = 200, {}, gzip.compress(LAYER)
        site.answers["/b"] = 200, {}, b"FROM scratch"
        assert "etc/os" in fetched(bench, HttpSource(f"{site.url}/a", "context", unpack=True))[1]
        assert fetched(bench, HttpSource(f"{site.url}/b", "context", unpack=True))[1]["context"][2] == "FROM scratch"

    def test_redirects(self, bench, site):
        site.answers["/a"] = 302, {"Location": "/b"}, b""
        site.answers["/b"] = 200, {}, b"content"
        assert fetched(bench, HttpSource(f"{site.url}/a", "name"))[1]["name"][2] == "content"
        site.answers["/b"] = 302, {"Location": "/a"}, b""
        with pytest.raises(BuildFailed, match="redirects more than 10 times"):
            fetched(bench, HttpSource(f"{site.url}/a", "name"))
        site.answers["/b"] = 302, {"Location": "file:///etc/passwd"}, b""
        with pytest.raises(BuildFailed, match="file:///etc/passwd: only http and https are fetched"):
            fetched(bench, HttpSource(f"{site.url}/a", "name"))

    def test_what_can_t_be_had(self, bench, site):
        with pytest.raises(BuildFailed, match="invalid response status 404"):
            fetched(bench, HttpSource(f"{site.url}/none", "name"))
        with pytest.raises(Unavailable, match=r"^failed to fetch http://127.0.0.1:1/none: connection refused\s"):
            fetched(bench, HttpSource("http://127.0.0.1:1/none", "name"))
        with pytest.raises(Unavailable, match=r"failed to fetch http://a.invalid/none: [a-z ]*name [a-z ]*\s"):
            fetched(bench, HttpSource("http://a.invalid/none", "name"))
        with pytest.raises(Unavailable, match=r"failed to fetch https://.*/none: tls: .*wrong.version.number"):
            fetched(bench, HttpSource(f"{site.url.replace('http', 'https')}/none", "name"))
        with pytest.raises(BuildFailed, match="only http and https"):
            fetched(bench, HttpSource("file:///etc/passwd", "name"))

    def test_one_that_breaks_off(self, bench, site):
        site.answers["/a"] = 200, {"Content-Length": "100", "Connection": "close"}, b"cont"
        with pytest.raises(Unavailable, match=r"failed to fetch .*/a: the answer broke off"):
            fetched(bench, HttpSource(f"{site.url}/a", "name"))

    def test_one_that_takes_too_long(self, bench, monkeypatch):
        monkeypatch.setattr("moby_builder.dockerfile.effects.http._TIMEOUT_S", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            where = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
            with pytest.raises(Unavailable, match=r"failed to fetch .*/a: it took too long"):
                fetched(bench, HttpSource(where, "name"))

    def test_one_that_is_too_big(self, bench, site):
        from moby_builder.dockerfile.effects.http import HttpSources

        site.answers["/a"] = 200, {}, bytes(1000)
        with bench.build(Lender()) as doing, pytest.raises(BuildFailed, match="bigger than 999 bytes"):
            sources = HttpSources(bench.metadata, most_bytes=999)
            sources.fetch(HttpSource(f"{site.url}/a", "name"), doing.temporary, Ear())

    def test_a_build_that_is_given_up(self, bench, site):
        ear = Ear()
        ear.cancel.set()
        with pytest.raises(Unavailable, match="canceled"):
            fetched(bench, HttpSource(f"{site.url}/a", "name"), ear=ear)

    def test_by_a_proxy(self, bench, site, monkeypatch):
        site.answers["http://nowhere.invalid/a"] = 200, {}, b"by proxy"
        monkeypatch.setenv("http_proxy", site.url)
        assert fetched(bench, HttpSource("http://nowhere.invalid/a", "name"))[1]["name"][2] == "by proxy"

    def test_what_was_seen_is_forgotten_in_the_end(self, bench, site, monkeypatch):
        from moby_builder.dockerfile.effects import http

        monkeypatch.setattr(http, "_MOST_KNOWN", 2)
        for name in ("/a", "/b", "/c"):
            site.answers[name] = 200, {"ETag": '"1"'}, b"content"
            with bench.build(Lender()) as doing:
                doing.identify(Node(HttpSource(site.url + name, "name")), Ear())
        assert bench.metadata.bucket("builder/http").count() == 2


def git(folder, *arguments):
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "me",
        "GIT_AUTHOR_EMAIL": "me@example.org", "GIT_COMMITTER_NAME": "me", "GIT_COMMITTER_EMAIL": "me@example.org",
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def commit(folder, **files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "one more")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def remotes(apart, tmp_path_factory):
    """A server of repositories, with a few commits; their addresses, and the commits by name."""
    base = tmp_path_factory.mktemp("remotes")
    part, whole = base / "part.git", base / "whole.git"
    for each in (part, whole):
        each.mkdir()
        git(each, "init", "--quiet")
    commits = {"part": commit(part, inside="part")}
    commits["first"] = commit(whole, **{"a": "first", "sub/b": "b"})
    git(whole, "tag", "-m", "annotated", "v1")
    (whole / "run").write_text("#!")
    (whole / "run").chmod(0o755)
    (whole / "sub/up").symlink_to("../a")
    (whole / "out").symlink_to("/etc")
    commits["second"] = commit(whole, a="second")
    git(whole, "branch", "side")
    commits["third"] = commit(whole, a="third")
    port = _serve(base)
    url = f"git://127.0.0.1:{port[0]}"
    git(whole, "checkout", "--quiet", "-b", "modules")
    (whole / ".gitmodules").write_text('[submodule "part"]\n\tpath = part\n\turl = ../part.git\n')
    (whole / "part").mkdir()
    git(whole, "update-index", "--add", "--cacheinfo", f"160000,{commits['part']},part")
    commits["modules"] = commit(whole, a="modules")
    git(whole, "checkout", "--quiet", "-b", "evil")
    (whole / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = {part}\n')
    commits["evil"] = commit(whole, a="evil")
    git(whole, "checkout", "--quiet", "main")
    yield url, commits, whole
    port[1].terminate()
    port[1].wait()


def _serve(base):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shutil.which("git")
    process = subprocess.Popen(
        [f"{_exec_path()}/git-daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}",
         "--reuseaddr", str(base)],
        env={"PATH": f"{_exec_path()}:{Path(command).parent}", "HOME": str(base)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.02)
    return port, process


def _exec_path():
    return subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()


class TestRepositories:
    @pytest.mark.parametrize(
        "reference, wanted",
        [
            ("", "third"), ("main", "third"), ("refs/heads/side", "second"), ("side", "second"), ("v1", "first"),
            ("refs/tags/v1", "first"), ("refs/heads/main", "third"),
        ],
    )  # fmt: skip
    def test_what_a_reference_means(self, bench, remotes, reference, wanted):
        url, commits, _ = remotes
        identity, found = fetched(bench, GitSource(f"{url}/whole.git", reference))
        assert identity == f"git:{commits[wanted]} "
        assert found["a"] == ("-644", "0:0", wanted)
        assert ".git" not in found

    def test_a_commit(self, bench, remotes):
        url, commits, _ = remotes
        _, found = fetched(bench, GitSource(f"{url}/whole.git", commits["first"]))
        assert found["a"][2] == "first"
        _, found = fetched(bench, GitSource(f"{url}/whole.git", commits["second"]))
        assert found["run"][0] == "-755"
        assert found["out"] == ("l", "0:0", "/etc")

    def test_a_folder_of_it(self, bench, remotes):
        url, commits, _ = remotes
        identity, found = fetched(bench, GitSource(f"{url}/whole.git", "main", "sub"))
        assert identity == f"git:{commits['third']} sub"
        assert {*found} == {"b", "up"}
        for folder in ("none", "a", "out", "../whole"):
            with pytest.raises(BuildFailed, match="is no folder"):
                fetched(bench, GitSource(f"{url}/whole.git", "main", folder))

    def test_with_its_history(self, bench, remotes):
        url, commits, _ = remotes
        source = GitSource(f"{url}/whole.git", "main", keep_git=True)
        with bench.build(Lender()) as doing:
            with bench.workspace.reading(doing.perform(Node(source), (), Ear())) as root:
                assert (root / ".git/HEAD").read_text().strip() == commits["third"]
                assert git(root, "-c", f"safe.directory={root}", "status", "--porcelain") == ""
            assert doing.identify(Node(source), Ear()).endswith(f" {url}/whole.git")

    def test_no_password_stays_in_it(self, bench, remotes, monkeypatch):
        from moby_builder.dockerfile.effects import git as module

        url, _, _ = remotes
        assert module._shown("https://me:secret@host/x.git") == "https://host/x.git"
        assert module._shown("me@host:x.git") == "me@host:x.git"
        source = GitSource(f"{url}/whole.git", "main", keep_git=True)
        monkeypatch.setattr(module, "_shown", lambda each: each.replace("127.0.0.1", "hidden"))
        with bench.build(Lender()) as doing:
            with bench.workspace.reading(doing.perform(Node(source), (), Ear())) as root:
                texts = [each.read_bytes() for each in (root / ".git").rglob("*") if each.is_file()]
            assert "127.0.0.1" not in doing.identify(Node(source), Ear())
        assert not [each for each in texts if b"127.0.0.1" in each]

    def test_submodules(self, bench, remotes):
        url, _, _ = remotes
        _, found = fetched(bench, GitSource(f"{url}/whole.git", "modules"))
        assert found["part/inside"][2] == "part"
        assert "part/.git" not in found
        with pytest.raises(BuildFailed, match="git submodule failed"):
            fetched(bench, GitSource(f"{url}/whole.git", "evil"))

    def test_a_checksum(self, bench, remotes):
        url, commits, _ = remotes
        fetched(bench, GitSource(f"{url}/whole.git", "main", checksum=commits["third"][:12]))
        with pytest.raises(BuildFailed, match=f"expected checksum to match {commits['first']}, got {commits['third']}"):
            fetched(bench, GitSource(f"{url}/whole.git", "main", checksum=commits["first"]))

    def test_what_is_here_isn_t_fetched(self, bench, remotes):
        url, _, whole = remotes
        before = fetched(bench, GitSource(f"{url}/whole.git", "main"))
        hidden = whole.with_name("hidden")
        with bench.build(Lender()) as doing:
            node = Node(GitSource(f"{url}/whole.git", "main"))
            identity = doing.identify(node, Ear())
            whole.rename(hidden)
            try:
                assert (identity, bench.seen(doing.perform(node, (), Ear()))) == before
            finally:
                hidden.rename(whole)

    @pytest.mark.parametrize(
        "reference, told",
        [
            ("none", "repository does not contain ref none"), ("--upload-pack=touch x", "invalid git reference"),
            ("0" * 40, "git fetch failed|does not contain"),
        ],
    )  # fmt: skip
    def test_references_that_are_none(self, bench, remotes, reference, told):
        with pytest.raises(BuildFailed, match=told):
            fetched(bench, GitSource(f"{remotes[0]}/whole.git", reference))

    @pytest.mark.parametrize("url", ["file:///etc", "ext::touch x", "-u/x", "ftp://x/y.git", "https+ext://x/y"])
    def test_remotes_that_are_none(self, bench, url):
        with pytest.raises(BuildFailed, match=r"only http, https, ssh and git are fetched|ls-remote failed"):
            fetched(bench, GitSource(url))

    def test_a_remote_that_isn_t_there(self, bench, remotes):
        ear = Ear()
        with pytest.raises(BuildFailed, match="git ls-remote failed: git stderr"):
            fetched(bench, GitSource(f"{remotes[0]}/none.git"), ear=ear)
        assert b"none.git" in ear.said

    def test_a_host_without_git(self, bench, remotes, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(HostUnfit, match="can't fetch git repositories"):
            fetched(bench, GitSource(f"{remotes[0]}/whole.git"))

    def test_nothing_that_is_set_on_the_host_counts(self, bench, remotes, monkeypatch, tmp_path):
        (tmp_path / ".gitconfig").write_text('[url "git://127.0.0.1:1/"]\n\tinsteadOf = "git://127.0.0.1:"\n')
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GIT_DIR", "/nowhere")
        monkeypatch.setenv("GIT_SSH_COMMAND", "touch /tmp/never")
        assert fetched(bench, GitSource(f"{remotes[0]}/whole.git"))[1]["a"][2] == "third"

    def test_a_build_that_is_given_up(self, bench, remotes):
        ear = Ear()
        ear.cancel.set()
        with pytest.raises(Unavailable, match="canceled"):
            fetched(bench, GitSource(f"{remotes[0]}/whole.git"), ear=ear)

    @pytest.mark.parametrize(
        "secrets, sent",
        [
            ({"GIT_AUTH_TOKEN": b"t"}, "basic eC1hY2Nlc3MtdG9rZW46dA=="),
            ({"GIT_AUTH_HEADER": b"bearer x\n"}, "bearer x"),
            ({"GIT_AUTH_TOKEN.127.0.0.1": b"t", "GIT_AUTH_HEADER": b"other"}, "basic eC1hY2Nlc3MtdG9rZW46dA=="),
            ({}, None),
        ],
    )  # fmt: skip
    def test_tokens(self, bench, site, secrets, sent):
        with pytest.raises(BuildFailed, match="git ls-remote failed"):
            fetched(bench, GitSource(f"{site.url}/x.git"), Lender(secrets=secrets))
        assert site.asked[0][1].get("Authorization") == sent


class TestOthers:
    def test_nothing(self, bench):
        assert fetched(bench, EmptySource()) == ("", {})

    def test_a_result(self, bench):
        base = bench.base("result", LAYER)
        with bench.build(Lender(), lambda reference: {"r": base}[reference]) as doing:
            node = Node(ResultSource("r"))
            assert doing.identify(node, Ear()) == "result:r"
            assert "etc/os" in bench.seen(doing.perform(node, (), Ear()))

    def test_what_killed_builds_left_is_swept(self, bench):
        class Idle:
            def sweep(self):
                left.append("tasks")

        left = []
        for name in ("half", "git-x/y"):
            (bench.place.run / "fetched" / name).parent.mkdir(parents=True, exist_ok=True)
            (bench.place.run / "fetched" / name).write_text("left")
        bench.snapshotter.prepare("builder/active/dead")
        evolve(bench.tools, running=Idle()).sweep()
        assert left == ["tasks"]
        assert not (bench.place.run / "fetched").exists()
        assert bench.snapshotter.list() == ()

    def test_one_that_many_want_is_fetched_once(self, bench, tmp_path):
        (tmp_path / "lent").mkdir()
        (tmp_path / "lent/a").write_text("a")
        lender, node = Lender({"context": tmp_path / "lent"}), Node(LocalSource("context"))
        with bench.build(lender) as doing:
            threads = [threading.Thread(target=doing.perform, args=(node, (), Ear())) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        assert lender.sent == ["a"]

    def test_a_source_outlives_its_build_where_a_step_is_on_it(self, bench):
        session = Lender(streams={"s": LAYER})
        with bench.build(session) as doing:
            source = doing.perform(Node(StreamSource("s")), (), Ear())
            tree = doing.perform(copying("/etc", to="/in"), [source, source], Ear())
        assert {"etc/os", "in/os"} <= {*bench.seen(tree)}
        bench.snapshotter.remove(tree.snapshot)
        bench.snapshotter.remove(source.snapshot)
