"""What a caller can catch. Raised by Socket and Channel."""

from __future__ import annotations

import asyncio
from typing import Any


class ChannelError(Exception):
    """The base of them all, and what was used in a wrong way."""


class ConnectError(ChannelError):
    """The first connection failed. `status` is that of HTTP, `response` what the server refused it
    with (JSON, or text); both None when there was no answer."""

    def __init__(self, message: str, status: int | None = None, response: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.response = response


class PushError(ChannelError):
    """A join or a push was answered with the status "error", or not in time: "timeout"."""

    def __init__(self, status: str, response: Any) -> None:
        super().__init__(f"{status}: {response}")
        self.status = status
        self.response = response


def report(what: str, error: BaseException) -> None:
    """To the loop's handler, which logs it: an error that no caller waits for."""
    context = {"message": f"hornbeam_client: {what}", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
