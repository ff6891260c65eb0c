"""What an object is that an application's name leads to: ASGI, WSGI, a factory. Pure.

Called by `loader`. An application is judged by the arguments that it takes, since nothing else
tells its interface; asgiref's marks come first. What has no signature (compiled code) counts as
ASGI 3.

A callable that takes nothing is a factory, as it is for uvicorn, which calls it to find out. One
that takes any arguments (`*args`) is not: a decorator has hidden what it takes.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Interface", "judge", "judge_wsgi", "shown", "takes"]


class Interface(enum.Enum):
    """How an application is called."""

    ASGI3 = "(scope, receive, send), awaited"
    ASGI2 = "(scope), then (receive, send), awaited"
    WSGI = "(environ, start_response)"
    FACTORY = "(), which makes an application"
    UNKNOWN = "none of these"


def judge(found: Callable[..., Any]) -> Interface:
    """The interface of an application, as far as it can be told without calling it."""
    if getattr(found, "_asgi_single_callable", None) is True:
        return Interface.ASGI3
    if getattr(found, "_asgi_double_callable", None) is True:
        return Interface.ASGI2
    signature = _signature(found)
    if signature is None:
        return Interface.ASGI3
    return (_judge_class if inspect.isclass(found) else _judge_callable)(found, signature)


def judge_wsgi(found: Callable[..., Any]) -> Interface:
    """The same where WSGI is asked for: whatever can be called as one is one, also what hides what
    it takes."""
    signature = _signature(found)
    if signature is None or (_binds(signature, 2) and not _is_async(found)):
        return Interface.WSGI
    return judge(found)


def takes(found: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with so many positional arguments; True when nobody can tell."""
    signature = _signature(found)
    return signature is None or _binds(signature, count)


def shown(found: Callable[..., Any]) -> str:
    """Its parameters, for a person: "(config, debug)"."""
    signature = _signature(found)
    return "(...)" if signature is None else f"({', '.join(signature.parameters)})"


def _judge_class(found: Callable[..., Any], signature: inspect.Signature) -> Interface:
    # Starlette's endpoints: an instance is made for each request and awaited.
    if hasattr(found, "__await__") and _binds(signature, 3):
        return Interface.ASGI3
    if _binds(signature, 0):
        return Interface.FACTORY
    if _binds(signature, 1) and _is_async_when_called(found):
        return Interface.ASGI2
    # PEP 3333's AppClass: an instance is made for each request and iterated over.
    if _binds(signature, 2) and hasattr(found, "__iter__"):
        return Interface.WSGI
    return Interface.UNKNOWN


def _judge_callable(found: Callable[..., Any], signature: inspect.Signature) -> Interface:
    parameters = list(signature.parameters.values())
    first = parameters[0].name if parameters else ""
    is_async = _is_async(found)
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if _binds(signature, 0) and not takes_any and not (is_async and _binds(signature, 3)):
        return Interface.FACTORY
    if _binds(signature, 3) and first != "environ":
        return Interface.ASGI3
    if _binds(signature, 2) and not is_async:
        return Interface.WSGI
    if _binds(signature, 1) and first == "scope":
        return Interface.ASGI2
    return Interface.UNKNOWN


def _is_async(found: object) -> bool:
    return inspect.iscoroutinefunction(found) or _is_async_when_called(found)


def _is_async_when_called(found: object) -> bool:
    return inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004


def _signature(found: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):  # compiled code that does not say
        return None


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
