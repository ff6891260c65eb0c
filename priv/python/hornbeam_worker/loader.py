"""From "module:attribute", or a module alone, to an application that takes (scope, receive, send).
The only code that imports applications, and that calls factories.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import operator
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hornbeam_erlang import _names
from hornbeam_worker import interface
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.interface import Interface

__all__ = [
    "Application", "Loaded", "Preloaded", "application_traceback", "attribute", "extend_path",
    "load", "make",
]  # fmt: skip

Application = Callable[..., Any]


class Loaded(NamedTuple):
    """An application, and how it is called."""

    app: Application
    is_wsgi: bool


class Preloaded(NamedTuple):
    """What a forked worker finds: the application, and what says, by the worker's own way to Erlang
    (`calls.Calls`), what was declared as it was imported."""

    loaded: Loaded
    declare: Callable[[Any], None]


# What an application is called where only its module is named; with `factory`, these go first.
NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")

logger = logging.getLogger("hornbeam.asgi")

_OUR_FILES = (__file__, importlib.__file__, _names.__file__)
_OUR_FOLDERS = tuple(f"{Path(file).parent}/" for file in _OUR_FILES)


def extend_path(directories: Sequence[str]) -> None:
    """Puts the directories in front of `sys.path`, in their order."""
    sys.path[:0] = list(directories)


def load(target: str, worker_class: str = "auto", *, factory: bool = False) -> Loaded:
    """Imports "package.module:object.attribute"; StartFailure with a text to act on otherwise.
    "package.module" alone is searched for the usual names.

    `worker_class`: asgi, wsgi, or auto for whichever it is. `factory`: it is to be called for the
    application. What takes no argument is, in any case.
    """
    target, found = _find(target, factory)
    judge = interface.judge_wsgi if worker_class == "wsgi" else interface.judge
    if not factory:
        kind = judge(found)
        if kind is not Interface.FACTORY:
            what = f'"{target}" takes {interface.shown(found)}'
            return _served(found, kind, worker_class, what)
        logger.debug('"%s" takes no arguments and is called as a factory', target)
    elif not interface.takes(found, 0):
        _refuse(f'"{target}" takes {interface.shown(found)}, and a factory is called with nothing')
    made = _make(found)
    kind = judge(made) if callable(made) else Interface.UNKNOWN
    if inspect.iscoroutine(made):
        made.close()  # it will not be awaited
    what = f'"{target}" returned an object of type {type(made).__name__}'
    return _served(made, kind, worker_class, what)


def make(target: str) -> Any:
    """What "package.module:object.attribute" makes, called with nothing; StartFailure."""
    target, found = _find(target, True)
    if not interface.takes(found, 0):
        _refuse(f'"{target}" takes {interface.shown(found)}, and a factory is called with nothing')
    return _make(found)


def attribute(target: str) -> Any:
    """What "package.module:object.attribute" is; StartFailure."""
    module_name, _, attributes = target.partition(":")
    if not module_name or not attributes:
        text = f'"{target}" is not of the form "module:attribute"'
        raise StartFailure(FailureKind.MODULE_NOT_FOUND, text)
    return _attribute(module_name, attributes)


def _attribute(module_name: str, attributes: str) -> Any:
    found = _import(module_name)
    try:
        return operator.attrgetter(attributes)(found)
    except AttributeError:
        text = f'"{attributes}" in module "{module_name}"'
        raise StartFailure(FailureKind.ATTRIBUTE_MISSING, text) from None


def _find(target: str, factory: bool) -> tuple[str, Callable[..., Any]]:
    """As "module:attribute", and what is there."""
    module_name, colon, attributes = target.partition(":")
    if not module_name or (colon and not attributes):
        raise StartFailure(
            FailureKind.MODULE_NOT_FOUND,
            f'"{target}" is not of the form "module:attribute" or "module"',
        )
    if not colon:
        return _search(module_name, (*FACTORY_NAMES, *NAMES) if factory else NAMES)
    found = _attribute(module_name, attributes)
    if not callable(found):
        _not_callable(target, found)
    return target, found


def _search(module_name: str, names: Sequence[str]) -> tuple[str, Callable[..., Any]]:
    """The first of the names that can be called; a module of that name, in a package, cannot."""
    module = _import(module_name, _meant(module_name))
    there = {name: getattr(module, name) for name in names if hasattr(module, name)}
    for name, found in there.items():
        if callable(found):
            return f"{module_name}:{name}", found
    for name, found in there.items():
        _not_callable(f"{module_name}:{name}", found)
    tried = ", ".join(f'"{module_name}:{name}"' for name in names)
    raise StartFailure(
        FailureKind.ATTRIBUTE_MISSING,
        f'tried {tried}; one of another name is given as "{module_name}:NAME"',
    )


def _meant(module_name: str) -> str:
    """A hint for a module that is not there: the ways in which others name applications."""
    front, dot, last = module_name.rpartition(".")
    if not dot:
        return ""
    return f'; did you mean "{front}"?' if last == "py" else f'; did you mean "{front}:{last}"?'


def _not_callable(target: str, found: object) -> NoReturn:
    raise StartFailure(FailureKind.NOT_CALLABLE, f'"{target}" is of type {type(found).__name__}')


def _make(factory: Callable[..., Any]) -> Any:
    try:
        return factory()
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the application, too
        raise StartFailure(FailureKind.FACTORY_FAILED, application_traceback(error)) from None


def _served(app: Any, kind: Interface, worker_class: str, what: str) -> Loaded:
    """The application as it is called for each request; `what` begins a sentence about it."""
    if kind is Interface.WSGI:
        if worker_class == "asgi":
            _refuse(f"{what}: it is a WSGI application, and worker_class is asgi; auto serves both")
        return Loaded(app, is_wsgi=True)
    if worker_class == "wsgi":
        _refuse(
            f"{what}: a WSGI application takes (environ, start_response), and worker_class is wsgi;"
            " auto serves ASGI as well"
        )
    if kind is Interface.ASGI3:
        return Loaded(app, is_wsgi=False)
    if kind is Interface.ASGI2:

        async def single(scope: Any, receive: Any, send: Any) -> None:
            await app(scope)(receive, send)

        return Loaded(single, is_wsgi=False)
    _refuse(
        f"{what}: it is neither an ASGI application, which takes (scope, receive, send), nor a"
        " WSGI application, which takes (environ, start_response), nor a factory, which takes"
        " nothing and returns one"
    )


def _refuse(text: str) -> NoReturn:
    raise StartFailure(FailureKind.NOT_ASGI, text)


def _import(name: str, hint: str = "") -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package that should hold it; not one that it imports in turn.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            looked = ", ".join(sys.path)
            raise StartFailure(
                FailureKind.MODULE_NOT_FOUND, f'no module "{name}" (looked in: {looked}){hint}'
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
