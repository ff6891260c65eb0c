"""From "module:attribute" to an application object. The only code that imports applications."""

from __future__ import annotations

import importlib
import operator
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hornbeam_worker.failure import FailureKind, StartFailure

__all__ = ["application_traceback", "extend_path", "load"]

_OUR_FOLDERS = tuple(f"{Path(file).parent}/" for file in (__file__, importlib.__file__))


def extend_path(directories: Sequence[str]) -> None:
    """Puts the directories in front of `sys.path`, in their order."""
    sys.path[:0] = list(directories)


def load(target: str) -> Callable[..., Any]:
    """Imports "package.module:object.attribute"; StartFailure with a text to act on otherwise."""
    module_name, _, attributes = target.partition(":")
    if not module_name or not attributes:
        raise StartFailure(
            FailureKind.MODULE_NOT_FOUND, f'"{target}" is not of the form "module:attribute"'
        )
    found: Any = _import(module_name)
    try:
        found = operator.attrgetter(attributes)(found)
    except AttributeError:
        raise StartFailure(
            FailureKind.ATTRIBUTE_MISSING, f'"{attributes}" in module "{module_name}"'
        ) from None
    if not callable(found):
        raise StartFailure(
            FailureKind.NOT_CALLABLE, f'"{target}" is of type {type(found).__name__}'
        )
    return found  # type: ignore[no-any-return]


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package that should hold it; not one that it imports in turn.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            looked = ", ".join(sys.path)
            raise StartFailure(
                FailureKind.MODULE_NOT_FOUND, f'no module "{name}" (looked in: {looked})'
            ) from None
        raise StartFailure(FailureKind.IMPORT_FAILED, application_traceback(error)) from None
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the application, too
        raise StartFailure(FailureKind.IMPORT_FAILED, application_traceback(error)) from None


def application_traceback(error: BaseException) -> str:
    """The traceback from the application's first line on, without Hornbeam's and importlib's."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _is_ours(file: str) -> bool:
    return file.startswith(("<frozen importlib", *_OUR_FOLDERS))
