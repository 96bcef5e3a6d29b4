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
        age_s = time.monotonic() - BEGAN_S
        sick_after_s = {"broken": 0.0, "later": 1.0, "much-later": 4.0}.get(MODE)
        sick = (sick_after_s is not None and age_s > sick_after_s) or (MODE == "flap" and int(age_s / 0.4) % 2 == 1)
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
