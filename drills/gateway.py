"""A proxy before an object store that refuses writes or loses answers."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gateway:
    """A proxy before the store that can refuse writes, or carry them out and lose the answer."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.refuse: int | None = None  # with this status
        self.after = 0  # so many writes are taken before
        self.lose_answers = 0
        self.refused = 0
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                gateway.answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        writes = handler.command in ("PUT", "POST", "DELETE")
        if writes and self.refuse is not None and self.after > 0:
            self.after -= 1
        elif writes and self.refuse is not None:
            self.refused += 1
            self._send(handler, self.refuse, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        request = urllib.request.Request(
            self.behind + handler.path,
            data=body if writes else None,
            method=handler.command,
            headers={"Content-Type": "application/octet-stream"}
            | {name: handler.headers[name] for name in handler.headers if name != "host"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as found:
                status, headers, content = found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, dict(error.headers), error.read()
        if handler.command == "PUT" and self.lose_answers:
            self.lose_answers -= 1
            self._send(handler, 503, {}, b"<Error><Code>ServiceUnavailable</Code></Error>")
            return
        self._send(handler, status, headers, content)

    @staticmethod
    def _send(
        handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes
    ) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                handler.send_header(name, value)
        length = headers.get("Content-Length") if handler.command == "HEAD" else len(content)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)
