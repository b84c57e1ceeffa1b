"""Dockerfiles as people write them: built on our engine by the unmodified docker, started, and asked what they do."""

import json
import shutil
import zipfile

import host_images
import pytest
from clients.engine import opened_moby
from peers.binaries import file
from peers.box import archive
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow

SERVICE = """\
# syntax=docker/dockerfile:1
FROM python AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

FROM base AS deps
RUN --mount=type=bind,source=wheels,target=/wheels --mount=type=cache,target=/var/cache/deps <<EOF
set -e
mkdir /deps
for each in /wheels/*.whl; do
  name="${each##*/}"
  [ -d "/var/cache/deps/$name" ] || { echo "unpacking $name"; python3 -m zipfile -e "$each" "/var/cache/deps/$name"; }
  cp -r "/var/cache/deps/$name/." /deps/
done
python3 -m compileall -q /deps
EOF

FROM base
COPY --from=deps /deps /deps
ENV PYTHONPATH=/deps
COPY --chown=app:app --exclude=wheels . .
ARG VERSION=dev
LABEL org.opencontainers.image.version=$VERSION
ENV VERSION=$VERSION
USER app
EXPOSE 8000
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s --timeout=20s --retries=10 CMD ["python3", "ask.py"]
ENTRYPOINT ["python3"]
CMD ["service.py"]
"""
SERVING = """\
import http.server, os, greeting
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{greeting.WORD} of {os.getuid()} in {os.environ['VERSION']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.HTTPServer(("127.0.0.1", 8000), Answer).serve_forever()
"""
ASKING = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000', timeout=15).read().decode())\n"

BINARY = """\
FROM cc AS build
WORKDIR /src
COPY main.c version.h ./
ARG CFLAGS=-O1
RUN --mount=type=cache,target=/objects cc $CFLAGS -c -o /objects/main.o main.c \\
 && cc -static -o /out /objects/main.o

FROM build AS test
RUN /out | grep -q "version 3"

FROM scratch AS final
COPY --from=build --chmod=0555 /out /app
USER 65534:65534
ENTRYPOINT ["/app"]
"""
MAIN = """\
#include <stdio.h>
#include "version.h"
int main(int argc, char **argv) {
    printf("version %d, %d arguments\\n", VERSION, argc - 1);
    return 0;
}
"""

SITE = """\
FROM node AS build
WORKDIR /site
COPY package.json ./
RUN --mount=type=cache,target=/cache node -e 'require("fs").appendFileSync("/cache/installs", "x")'
COPY pages pages
COPY build.js .
ENV NODE_ENV=production
RUN --mount=type=secret,id=token node build.js

FROM node
WORKDIR /site
COPY --link --from=build /site/dist dist
COPY serve.js .
RUN mkdir /data && chmod 0777 /data
VOLUME /data
USER 1000
HEALTHCHECK --interval=1s --timeout=20s --retries=10 \\
  CMD node -e 'fetch("http://127.0.0.1:3000/about.html").then(r => process.exit(r.ok ? 0 : 1))'
CMD ["node", "serve.js"]
"""
BUILDING = """\
const fs = require("fs");
fs.mkdirSync("dist");
for (const name of fs.readdirSync("pages"))
  fs.writeFileSync("dist/" + name.replace(".md", ".html"), "<p>" + fs.readFileSync("pages/" + name).toString().trim());
if (fs.readFileSync("/run/secrets/token").toString() !== "hidden-word") process.exit(3);
"""
SERVE = """\
const fs = require("fs");
const answer = (asked, out) => out.end(fs.readFileSync("dist" + asked.url));
require("http").createServer(answer).listen(3000, "127.0.0.1");
process.on("SIGTERM", () => { fs.writeFileSync("/data/end", "in order"); process.exit(0); });
"""


class World:
    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder

    def bring(self, name, make, *words):
        """Have an image of the host's files."""
        path = host_images.packed(make(self.folder / name, *words), self.folder / f"{name}.tar")
        shutil.move(path, self.engine.sandbox.seen(TEMPORARY) / path.name)
        shutil.rmtree(self.folder / name)
        self.engine("import", "-c", "ENV PATH=/bin:/usr/bin", TEMPORARY / path.name, name)
        (self.engine.sandbox.seen(TEMPORARY) / path.name).unlink()

    def context(self, name, **files):
        folder = self.engine.sandbox.seen(TEMPORARY) / name
        folder.mkdir(exist_ok=True)
        for each, text in files.items():
            path = folder / each.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return TEMPORARY / name

    def build(self, *words):
        return self.engine("build", "--progress=plain", *words).stderr

    def healthy(self, name):
        asked = ("inspect", "-f", "{{.State.Health.Status}}", name)
        until(lambda: self.engine.out(*asked) == "healthy", "health", every_s=0.5)

    def config(self, name):
        return json.loads(self.engine.out("image", "inspect", name))[0]["Config"]


@pytest.fixture(scope="module")
def world(tmp_path_factory, docker_pyz):
    file("usr/libexec/docker/cli-plugins/docker-buildx", "buildx")
    folder = tmp_path_factory.mktemp("world")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as engine:
        yield World(engine, folder)
        engine.check_gone()


def test_a_service_in_python(world):
    world.bring("python", host_images.python)
    there = world.context(
        "service", Dockerfile=SERVICE, service_py=SERVING, ask_py=ASKING, README_md="x", _dockerignore="*.md\n"
    )
    wheels = world.engine.sandbox.seen(there) / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "greeting-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "WORD = 'hello'\n")
    said = world.build("-t", "service", "--build-arg", "VERSION=1", there)
    assert "unpacking greeting-1" in said
    config = world.config("service")
    assert (config["User"], config["StopSignal"], config["WorkingDir"]) == ("app", "SIGINT", "/app")
    assert config["Labels"]["org.opencontainers.image.version"] == "1"
    world.engine("run", "-d", "--network=none", "--name", "service", "service")
    world.healthy("service")
    assert world.engine.out("exec", "service", "python3", "ask.py") == "hello of 1000 in 1"
    assert world.engine.out("exec", "service", "ls", "/app").split() == ["Dockerfile", "ask.py", "service.py"]
    world.engine("rm", "-f", "service")
    # A line of the service changes: what it depends on stays.
    world.context("service", service_py=SERVING.replace(" of ", " from "))
    again = world.build("-t", "service", "--build-arg", "VERSION=1", there)
    assert "unpacking" not in again
    assert "CACHED" in again
    fresh = world.build("--no-cache", "--target", "deps", there)
    assert "unpacking" not in fresh  # which the cache mount has
    assert world.engine("run", "--rm", "--network=none", "service", "-c", "print(6 * 7)").stdout == "42\n"


def test_a_static_binary(world):
    there = world.context("binary", Dockerfile=BINARY, main_c=MAIN, version_h="#define VERSION 3\n")
    world.bring("cc", host_images.compiler, world.engine.sandbox.seen(there) / "main.c")
    world.build("-t", "binary", there)
    assert world.engine.out("run", "--rm", "--network=none", "binary", "a", "b") == "version 3, 2 arguments"
    found = json.loads(world.engine.out("image", "inspect", "binary"))[0]
    assert len(found["RootFS"]["Layers"]) == 1
    assert found["Config"]["User"] == "65534:65534"
    world.build("--target", "test", there)
    world.context("binary", version_h="#define VERSION 4\n")
    failed = world.engine("build", "--target", "test", there, check=False)
    assert failed.returncode == 1
    assert 'RUN /out | grep -q "version 3"' in failed.stderr
    world.context("binary", version_h="#define VERSION three\n")
    failed = world.engine("build", "--progress=plain", there, check=False)
    assert "three" in failed.stderr  # the compiler's words
    assert "Dockerfile:5" in failed.stderr


def test_a_site_by_node(world):
    world.bring("node", host_images.node)
    there = world.context(
        "site", Dockerfile=SITE, build_js=BUILDING, serve_js=SERVE, package_json="{}", pages__about_md="About us\n"
    )
    token = world.engine.sandbox.seen(TEMPORARY) / "token"
    token.write_text("hidden-word")
    world.build("-t", "site", "--secret", f"id=token,src={TEMPORARY}/token", there)
    world.engine("run", "-d", "--network=none", "--name", "site", "site")
    world.healthy("site")
    asking = "fetch('http://127.0.0.1:3000/about.html').then(r => r.text()).then(console.log)"
    assert world.engine.out("exec", "site", "node", "-e", asking) == "<p>About us"
    world.engine("stop", "site")
    assert world.engine.out("inspect", "-f", "{{.State.ExitCode}}", "site") == "0"
    written = world.engine.out("inspect", "-f", "{{(index .Mounts 0).Source}}", "site")
    assert (world.engine.sandbox.seen(written) / "end").read_text() == "in order"
    world.engine("rm", "-v", "site")
    world.context("site", pages__more_md="More\n")
    again = world.build("-t", "site", "--secret", f"id=token,src={TEMPORARY}/token", there)
    assert again.count("CACHED") >= 2
