"""A web server on this computer that behaves as badly as it is told to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any


@dataclass
class Answer:
    """How one request is answered; by default as a good server does.

    `status` other than 200 is sent alone. Of the content `sends` bytes come, then the
    connection closes, or stalls until the server ends. `holds` is waited for first.
    """

    status: int = 200
    content: bytes | None = None
    sends: int | None = None
    stalls: bool = False
    ranges: bool = True
    holds: threading.Event | None = None


@dataclass
class Server:
    """What is served, how, and what was asked for (the Range headers)."""

    content: bytes
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, *answers: Answer) -> None:
        """Answer the next requests so; the last of them rules from then on."""
        self.answers = list(answers)

    def next_answer(self) -> Answer:
        if len(self.answers) > 1:
            return self.answers.pop(0)
        return self.answers[0] if self.answers else Answer()


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Serve `content` at every path of 127.0.0.1 until the block ends."""
    server = Server(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(self.headers.get("Range"))
            answer = server.next_answer()
            if answer.holds is not None:
                answer.holds.wait(30)
            body = server.content if answer.content is None else answer.content
            start = self._start(body) if answer.ranges else 0
            self.close_connection = True
            if answer.status != 200 or start > len(body):
                self.send_response(answer.status if answer.status != 200 else 416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                about = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.send_header("Content-Range", about)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = len(body) if answer.sends is None else start + answer.sends
            self.wfile.write(body[start:end])
            if answer.stalls:
                self.wfile.flush()
                server.ended.wait(30)

        def _start(self, body: bytes) -> int:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            return int(match[1]) if match else 0

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}/sam_tiny.pth"
        try:
            yield server
        finally:
            server.ended.set()
            http.shutdown()
            thread.join(30)


def after(n: int, bad: Answer) -> list[Answer]:
    """Answer `n` requests badly and the others well."""
    return list(chain(repeat(bad, n), [Answer()]))
