"""The exceptions that an error of Erlang's becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

__all__ = ["ComputationError", "ErlangError", "NotRegisteredError", "raise_error"]


class ErlangError(RuntimeError):
    """What an Erlang function returned as `{error, Reason}`, or raised.

    error_class  "error", "exit" or "throw"
    reason       the reason as a value, or as text where it cannot travel (a pid, a fun)
    stack        Erlang's text of the exception and its stack; "" for a returned `{error, Reason}`
    """

    def __init__(self, error_class: str, reason: Any, text: str, stack: str) -> None:
        super().__init__(f"{error_class}: {text}" + (f"\n{stack}" if stack else ""))
        self.error_class = error_class
        self.reason = reason
        self.text = text
        self.stack = stack

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error_class, self.reason, self.text, self.stack)


class NotRegisteredError(ErlangError, LookupError):
    """No Erlang function is registered under the name that was called."""


class ComputationError(RuntimeError):
    """What a computation raised that another caller ran, where its own class cannot be raised
    here, and the cause of what is raised where it can.

    module, name  of the class of what was raised there
    text          its text
    traceback     where it came from, as text
    """

    def __init__(
        self, module: str, name: str, arguments: bytes | None, text: str, traceback: str
    ) -> None:
        super().__init__(f"{module}.{name}: {text}\n{traceback}")
        self.module = module
        self.name = name
        self.arguments = arguments
        self.text = text
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.module, self.name, self.arguments, self.text, self.traceback)
        return type(self), parts


_BUILTIN: Final[dict[str, Callable[[str], Exception]]] = {
    "type_error": TypeError,
    "value_error": ValueError,
    "permission_error": PermissionError,
    "connection_error": ConnectionError,
    "timeout": TimeoutError,
}


def raise_error(kind: str, what: Any) -> NoReturn:
    """Raises the exception of an error reply: its kind and its text or parts."""
    if kind == "erlang_error":
        raise ErlangError(*what)
    if kind == "not_registered":
        raise NotRegisteredError("error", kind, what, "")
    if kind == "computation_error":
        raise ComputationError(*what)
    raise _BUILTIN[kind](what)
