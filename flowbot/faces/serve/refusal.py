"""What a request is refused with: one form of error for all routes, that of OpenAI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "budget_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
}
NO_RETRY = {"x-should-retry": "false"}  # OpenAI's clients heed it: a run that was paid for is not to be paid again


class Refusal(Exception):
    """A request that is not answered as wished: an HTTP status, a code for programs, a message for people."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, param: str | None = None
    ) -> None:
        self.status, self.code, self.message = status, code, message
        self.headers, self.param = headers or {}, param
        super().__init__(message)

    @property
    def plain(self) -> dict[str, Any]:
        """The error as it stands in a body."""
        kind = KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}

    @property
    def body(self) -> bytes:
        """The whole body."""
        return written({"error": self.plain})


def written(plain: Any) -> bytes:
    """Return a body: JSON in UTF-8; half a character, which has no UTF-8, becomes a question mark."""
    return _write(plain).encode("utf-8", "replace")


_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
