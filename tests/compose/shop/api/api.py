"""Counts visits: in the database for ever, in the cache for as long as that lives."""

import http.server
import json
import os
import socket
import subprocess


def query(text):
    words = ["psql", "-qtAX", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE"], "-c", text]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def counted():
    """Return the cache's counter, one higher than before."""
    host, port = os.environ["CACHE"].split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"INCR visits\r\n")
        return int(connection.makefile("rb").readline()[1:])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {"ready": True}
        if self.path == "/visit":
            query("insert into visits default values")
            answer = {"ever": int(query("select count(*) from visits")), "cached": counted()}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


query("create table if not exists visits (id serial primary key, at timestamptz default now())")
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
