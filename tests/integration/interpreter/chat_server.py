"""A small server that speaks the Chat Completions API and plays a script of behaviours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer of the server.

    Args:
        content: What the model says: a dict is written as JSON, a str as it is, None is null.
        status: The HTTP status.
        finish_reason: As in the API.
        refusal: The text of a refusal.
        delay_seconds: How long the server waits.
        body: The whole body, instead of a completion.
        cut_off: Whether the connection breaks in the middle of the body.
        headers: More headers of the answer.
        message: What an error says.
    """

    content: dict[str, Any] | str | None = None
    status: int = 200
    finish_reason: str = "stop"
    refusal: str | None = None
    delay_seconds: float = 0.0
    body: str | None = None
    cut_off: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no"


@dataclass
class ChatServer:
    """The server while it runs: where it is, what it is to answer, what it was asked."""

    url: str
    script: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def play(self, *answers: Answer) -> None:
        """Sets the answers to come."""
        self.script[:] = answers


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Runs a server on a free port."""
    state = ChatServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            state.requests.append(json.loads(self.rfile.read(length)))
            answer = state.script.pop(0) if state.script else Answer(status=500)
            time.sleep(answer.delay_seconds)
            body = answer.body if answer.body is not None else _completion(answer)
            encoded = body.encode()
            try:
                self.send_response(answer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(encoded)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(encoded[: len(encoded) // 2] if answer.cut_off else encoded)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client did not wait
            if answer.cut_off:
                self.close_connection = True

        log_message: Callable[..., None] = lambda *_: None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(answer: Answer) -> str:
    if answer.status != 200:
        return json.dumps({"error": {"message": answer.message, "type": "error", "code": None}})
    content = json.dumps(answer.content) if isinstance(answer.content, dict) else answer.content
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "scripted",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": answer.finish_reason,
                    "message": {
                        "role": "assistant",
                        "content": content,
                        "refusal": answer.refusal,
                    },
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )
