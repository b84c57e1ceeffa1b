"""Two real services in containers: nginx, which a client finds by name, and a database behind a published port.

Their programs are the sandbox's own, shown inside, since no image registry is asked.
"""

import pytest
from peers.binaries import need
from peers.box import NAME
from peers.sandbox import until

pytestmark = pytest.mark.slow
FOLDER = "/var/lib/peers/services"
PROGRAMS = [
    word
    for each in ("/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64", f"{FOLDER}:/conf")
    for word in ("-v", f"{each}:ro")
]
NGINX = """
daemon off; user root; pid /tmp/pid; error_log stderr; events {}
http {
  access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server { listen 80; listen [::]:80; location / { return 200 "$host served $remote_addr\\n"; } }
}
"""
GET = 'exec 3<>/dev/tcp/$0/$1; printf "GET / HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n" $0 >&3; cat <&3'


@pytest.fixture(scope="module")
def services(moby):
    need("nginx", "nginx")
    need("redis-server", "redis")
    moby.sandbox.run("sh", "-ec", f"mkdir -p {FOLDER} /tmp; cat > {FOLDER}/nginx.conf", input=NGINX)
    moby("network", "create", "--ipv6", "shop")
    yield moby
    moby("rm", "-f", "web", "store")
    moby("network", "rm", "shop")


def test_nginx_and_a_client_by_name(services):
    tmp = ("--tmpfs", "/tmp", "--tmpfs", "/var/log")
    web = ("-d", "--name", "web", "--network", "shop", "--network-alias", "front", "-p", "8088:80")
    services("run", *web, *tmp, *PROGRAMS, NAME, "/usr/sbin/nginx", "-e", "stderr", "-c", "/conf/nginx.conf")

    def asked(name):
        words = ("run", "--rm", "--network", "shop", *PROGRAMS, NAME, "/usr/bin/bash", "-c", GET, name, "80")
        return services(*words, check=False).stdout

    until(lambda: "web served " in asked("web"), "the page")
    assert "front served " in asked("front")
    assert "127.0.0.1 served " in services.sandbox.run("bash", "-c", GET, "127.0.0.1", "8088").stdout


def test_a_database_over_a_published_port(services):
    """What was written is there over its own port again once the engine was restarted."""
    where = ("-d", "--name", "store", "--network", "shop", "-p", "127.0.0.1:6399:6379", "--tmpfs", "/data")
    server = ("/usr/bin/redis-server", "--protected-mode", "no", "--save", "", "--dir", "/data")
    services("run", *where, *PROGRAMS, NAME, *server)

    def said(*words, host="127.0.0.1", port="6399"):
        return services.sandbox.run("redis-cli", "-h", host, "-p", port, *words, check=False).stdout.strip()

    until(lambda: said("ping") == "PONG", "the database's answer")
    assert said("set", "colour", "red") == "OK"
    client = ("run", "--rm", "--network", "shop", *PROGRAMS, NAME, "/usr/bin/redis-cli", "-h", "store")
    assert services.out(*client, "get", "colour") == "red"
    services.again()
    assert said("get", "colour") == "red"
    assert services.out(*client, "incr", "visits") == "1"
