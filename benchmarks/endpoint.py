"""An endpoint that costs next to nothing: chat completions on loopback, each answered after a fixed latency.

It runs in a process of its own and is written on the bare protocol, so that the client is what is measured. It ends
when its standard input closes, so it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from problem import REPLY

from flowbot.faces.loop import start_loop

BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "fixed",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": REPLY}, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 180, "completion_tokens": 8, "total_tokens": 188},
    }
).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LENGTH = b"content-length:"


class Answering(asyncio.Protocol):
    """One connection: reads whole requests by their length and answers each `latency` seconds later."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.buffer = b""
        self.transport: Any = None  # uvloop's is no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.index(LENGTH) + len(LENGTH)
        wanted = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        if len(self.buffer) >= wanted:
            self.buffer = self.buffer[wanted:]
            asyncio.get_running_loop().call_later(self.latency, self.answer)

    def answer(self) -> None:
        """Send the one answer there is."""
        if not self.transport.is_closing():
            self.transport.write(RESPONSE)


@contextmanager
def answering(latency: float) -> Generator[str]:
    """Serve in another process until the block ends; give the base URL."""
    command = [sys.executable, __file__, str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


async def serve(latency: float) -> None:
    """Serve on a free port, print it, and go on until the standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(latency), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    start_loop(serve(float(sys.argv[1])))
