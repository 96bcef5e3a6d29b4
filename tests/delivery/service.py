"""A small HTTP service of the tests: names its version, and can be made sick. Run as a program in the sandbox."""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = Path("mode").read_text(encoding="utf-8").strip()
BEGAN_S = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self) -> None:
        sick = MODE == "broken" or (MODE == "later" and time.monotonic() - BEGAN_S > 1.0)
        body = json.dumps({"version": os.environ["MOHIST_COMMIT"]}).encode()
        self.send_response(500 if sick else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if MODE == "crash":
    sys.exit("refuses to start")
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
