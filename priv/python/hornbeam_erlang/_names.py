"""Functions by name: "module:function" to the function, and back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["find", "path_of"]


def find(target: str) -> Any:
    """What "module:attribute.attribute" names; imports the module."""
    module, _, attributes = target.partition(":")
    if not module or not attributes:
        raise ValueError(f'"{target}" is not of the form "module:function"')
    found: Any = importlib.import_module(module)
    for name in attributes.split("."):
        found = getattr(found, name)
    return found


def path_of(function: str | Callable[..., Any]) -> str:
    """The name of a function that another process can import; a name stays as it is.

    ValueError for one that cannot be found by its name: a lambda, a function in a function, one of
    the script that was started.
    """
    if isinstance(function, str):
        module, _, attributes = function.partition(":")
        if not module or not attributes:
            raise ValueError(f'"{function}" is not of the form "module:function"')
        return function
    if not callable(function):
        raise TypeError(f"a function or its name, not {function!r}")
    module = getattr(function, "__module__", "") or ""
    name = getattr(function, "__qualname__", "") or ""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is None or not _is(found, function):
        raise ValueError(f"{function!r} cannot be imported as {module}:{name}")
    return f"{module}:{name}"


def _is(found: object, function: object) -> bool:
    """The function itself, or what a decorator made of it; a bound method of a class."""
    return found == function or getattr(found, "__wrapped__", None) is function
