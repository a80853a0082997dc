"""Servers on loopback that stand where notices go."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class MailServer(threading.Thread):
    """A mail server on loopback: enough of RFC 5321 for one client at a time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mails: list[tuple[str, list[str], object]] = []
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.start()
        assert self.ready.wait(10)

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        for open_one in asyncio.all_tasks(self.loop):
            open_one.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    @property
    def connection(self) -> str:
        """For AIRFLOW_CONN_SMTP_DEFAULT."""
        plain = "disable_ssl=true&disable_tls=true&from_email=gate%40example.org"
        return f"smtp://127.0.0.1:{self.port}/?{plain}"

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(10)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        sender, to = "", []
        say("220 test")
        while line := (await reader.readline()).decode().strip():
            verb = line.upper()
            if verb.startswith("MAIL FROM:"):
                sender, to = line[10:].split()[0].strip("<>"), []
            elif verb.startswith("RCPT TO:"):
                to.append(line[8:].split()[0].strip("<>"))
            elif verb == "DATA":
                say("354 go on")
                content = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(content[:-5], policy=policy.default)
                self.mails.append((sender, to, mail))
            say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                break
        writer.close()


class Slack:
    """A webhook's server on loopback that gives the answers it is told, then 200."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def connection(self, token: str) -> str:
        """For AIRFLOW_CONN_…, as Airflow's own Slack provider has it."""
        host = f"http://127.0.0.1:{self.port}/services"
        return json.dumps({"conn_type": "slackwebhook", "host": host, "password": token})


@pytest.fixture(scope="module")
def run_mail_server() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def run_slack() -> Iterator[Slack]:
    running = Slack()
    yield running
    running.server.shutdown()
    running.server.server_close()
