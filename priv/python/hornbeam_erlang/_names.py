"""Functions by name: "module:function" to the function, and back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["find", "known", "path_of"]


# Modules that `find` has imported as a whole.
_imported: Final[set[str]] = set()


def find(target: str) -> Any:
    """What "module:attribute.attribute" names; imports the module."""
    module, attributes = _parts(target)
    found: Any = sys.modules.get(module) if module in _imported else None
    if found is None:
        found = importlib.import_module(module)
        _imported.add(module)
    for name in attributes.split("."):
        found = getattr(found, name)
    return found


def known(target: str) -> Any:
    """The same for a function of a module that `find` has imported before; None for all others.
    Runs nothing of the application's."""
    module, attributes = _parts(target)
    if module in _imported and (found := sys.modules.get(module)) is not None:
        return vars(found).get(attributes)
    return None


def _parts(target: str) -> tuple[str, str]:
    module, _, attributes = target.partition(":")
    if not module or not attributes:
        raise ValueError(f'"{target}" is not of the form "module:function"')
    return module, attributes


def path_of(function: str | Callable[..., Any]) -> str:
    """The name of a function that another process can import; a name stays as it is.

    ValueError for one that cannot be found by its name: a lambda, a function in a function, one of
    the script that was started.
    """
    if isinstance(function, str):
        _parts(function)
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
