"""A real git server over HTTP on loopback: git's own `http-backend` behind a name and a token, in front of bare repositories."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

TOKEN: Final = "tok" + "en-for-pushes"
_LOG: Final = '#!/bin/sh\nwhile read line; do echo "$line" >> "$GIT_DIR/pushes"; done\n'
_PROTECT: Final = """#!/bin/sh
[ "$1" = refs/heads/main ] && echo "GH006: Protected branch update failed for $1." >&2 && exit 1
exit 0
"""


def bare(user: Path, folder: Path) -> Path:
    """A bare copy of a repository that lets itself be pushed to, and notes each push."""
    subprocess.run(["git", "clone", "--quiet", "--bare", str(user), str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "config", "http.receivepack", "true"], check=True)
    _hook(folder, "post-receive", _LOG)
    return folder


def protect(folder: Path) -> None:
    """Lets nobody push to main, as forges do it."""
    _hook(folder, "update", _PROTECT)


def pushes(folder: Path) -> list[str]:
    """`ref` and new commit of each update by a push."""
    log = folder / "pushes"
    rows = [line.split() for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    return [f"{ref} {new}" for _, new, ref in rows]


def _hook(folder: Path, name: str, text: str) -> None:
    hook = folder / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(text, encoding="utf-8")
    hook.chmod(0o755)


class GitServer:
    """Serves every repository below a folder."""

    def __init__(self, root: Path) -> None:
        self.asked: list[str] = []
        self.redirect = ""
        self.status = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._serve(self, root)

            do_POST = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def _serve(self, handler: BaseHTTPRequestHandler, root: Path) -> None:
        address = urlsplit(handler.path)
        named = handler.headers.get("authorization", "")
        self.asked.append(named)
        data = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        if self.redirect or self.status or base64.b64decode(named.removeprefix("Basic ")) != f"git:{TOKEN}".encode():
            handler.send_response(302 if self.redirect else self.status or 401)
            if self.redirect:
                handler.send_header("location", self.redirect + handler.path)
            handler.send_header("www-authenticate", 'Basic realm="git"')
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        done = subprocess.run(
            ["git", "http-backend"],
            input=data,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "git",
                "REQUEST_METHOD": handler.command,
                "PATH_INFO": address.path,
                "QUERY_STRING": address.query,
                "CONTENT_TYPE": handler.headers.get("content-type") or "",
                "CONTENT_LENGTH": str(len(data)),
                "HTTP_CONTENT_ENCODING": handler.headers.get("content-encoding") or "",
                "GIT_PROTOCOL": handler.headers.get("git-protocol") or "",
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        handler.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "content-length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
