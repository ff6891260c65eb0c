"""What an application's name may lead to: how `interface` judges it, what `loader` makes of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apps import core_kinds

from hornbeam_worker import loader
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.interface import Interface, judge, judge_wsgi, shown, takes

KINDS = {
    Interface.ASGI3: (
        "app returns_awaitable optional hidden decorated instance method Endpoint partial"
    ),
    Interface.ASGI2: "Double double marked",
    Interface.FACTORY: (
        "create_app with_defaults Configured configured makes_double raises makes_nothing "
        "async_factory Wsgi"
    ),
    Interface.WSGI: "wsgi wsgi_optional wsgi_instance WsgiClass",
    Interface.UNKNOWN: "needs NeedsTwo",
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names.split()]
)
def test_kinds(kind: Interface, name: str) -> None:
    assert judge(getattr(core_kinds, name)) is kind


# Imported by the test and not with its file, which each process of pytest reads.
@pytest.mark.parametrize(
    ("kind", "module", "make"),
    [
        (Interface.ASGI3, "starlette.applications", lambda m: m.Starlette()),
        (Interface.ASGI3, "starlette.endpoints", lambda m: m.HTTPEndpoint),
        (Interface.ASGI3, "fastapi", lambda m: m.FastAPI()),
        (Interface.ASGI3, "quart", lambda m: m.Quart("a")),
        (Interface.ASGI3, "litestar", lambda m: m.Litestar()),
        (Interface.ASGI3, "asgiref.wsgi", lambda m: m.WsgiToAsgi(core_kinds.wsgi)),
        (Interface.ASGI3, "django.core.handlers.asgi", lambda m: object.__new__(m.ASGIHandler)),
        (Interface.WSGI, "django.core.handlers.wsgi", lambda m: object.__new__(m.WSGIHandler)),
        (Interface.WSGI, "flask", lambda m: m.Flask("a")),
        (Interface.FACTORY, "fastapi", lambda m: m.FastAPI),
        (Interface.UNKNOWN, "flask", lambda m: m.Flask),
        # Compiled code that does not say what it takes.
        (Interface.ASGI3, "builtins", lambda m: m.max),
    ],
)
def test_frameworks(kind: Interface, module: str, make: Callable[[Any], Any]) -> None:
    assert judge(make(importlib.import_module(module))) is kind


def test_what_it_takes() -> None:
    assert [takes(core_kinds.needs, count) for count in (0, 1, 2)] == [False, True, False]
    assert shown(core_kinds.needs) == "(config)"
    assert (takes(max, 0), shown(max)) == (True, "(...)")


NEITHER = (
    "it is neither an ASGI application, which takes (scope, receive, send), nor a WSGI application,"
    " which takes (environ, start_response), nor a factory, which takes nothing and returns one"
)
WSGI = "it is a WSGI application, and worker_class is asgi; auto serves both"
NOT_WSGI = (
    "a WSGI application takes (environ, start_response), and worker_class is wsgi; auto serves ASGI"
    " as well"
)


@pytest.mark.parametrize("worker_class", ["auto", "wsgi"])
@pytest.mark.parametrize("name", ["wsgi", "wsgi_optional", "wsgi_instance", "makes_wsgi"])
def test_wsgi_is_served(name: str, worker_class: str) -> None:
    assert loader.load(f"apps.core_kinds:{name}", worker_class).is_wsgi


def test_asked_for_what_hides_what_it_takes_is_wsgi() -> None:
    assert judge(core_kinds.hidden) is Interface.ASGI3
    assert judge_wsgi(core_kinds.hidden) is Interface.WSGI
    assert judge_wsgi(max) is Interface.WSGI
    assert judge_wsgi(core_kinds.create_app) is Interface.FACTORY


@pytest.mark.parametrize("name", ["app", "instance", "Double"])
def test_what_is_not_wsgi_is_refused_where_that_is_asked_for(name: str) -> None:
    with pytest.raises(StartFailure) as failure:
        loader.load(f"apps.core_kinds:{name}", "wsgi")
    assert failure.value.kind is FailureKind.NOT_ASGI
    assert failure.value.text.endswith(NOT_WSGI)


@pytest.mark.parametrize(
    ("name", "factory", "text"),
    [
        ("needs", True, "takes (config), and a factory is called with nothing"),
        ("app", True, "takes (scope, receive, send), and a factory is called with nothing"),
        ("needs", False, f"takes (config): {NEITHER}"),
        ("NeedsTwo", False, f"takes (one, two): {NEITHER}"),
        ("wsgi", False, f"takes (environ, start_response): {WSGI}"),
        ("wsgi_optional", False, f"takes (environ, start_response, more): {WSGI}"),
        ("wsgi_instance", False, f"takes (environ, start_response): {WSGI}"),
        ("makes_wsgi", False, f"returned an object of type Wsgi: {WSGI}"),
        ("makes_nothing", False, f"returned an object of type NoneType: {NEITHER}"),
        ("makes_a_factory", True, f"returned an object of type function: {NEITHER}"),
        ("async_factory", True, f"returned an object of type coroutine: {NEITHER}"),
    ],
)
def test_what_is_refused(name: str, factory: bool, text: str) -> None:
    target = f"apps.core_kinds:{name}"
    with pytest.raises(StartFailure) as failure:
        loader.load(target, "asgi", factory=factory)
    assert failure.value.kind is FailureKind.NOT_ASGI
    assert failure.value.text == f'"{target}" {text}'


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("raises", "LookupError: no such setting"),
        ("exits", "SystemExit: 3"),
        ("type_error", "TypeError: raised in the factory"),
    ],
)
def test_a_factory_that_raises(name: str, last: str) -> None:
    with pytest.raises(StartFailure) as failure:
        loader.load(f"apps.core_kinds:{name}")
    assert failure.value.kind is FailureKind.FACTORY_FAILED
    assert failure.value.text.splitlines()[-1] == last


@pytest.mark.parametrize(
    ("source", "factory", "kind", "text"),
    [
        ("app = {}", False, FailureKind.NOT_CALLABLE, '"alone:app" is of type dict'),
        ("application = 1", True, FailureKind.NOT_CALLABLE, '"alone:application" is of type int'),
        (
            "",
            True,
            FailureKind.ATTRIBUTE_MISSING,
            'tried "alone:create_app", "alone:make_app", "alone:app", "alone:application";'
            ' one of another name is given as "alone:NAME"',
        ),
    ],
)
def test_a_module_alone_that_has_no_application(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    factory: bool,
    kind: FailureKind,
    text: str,
) -> None:
    (tmp_path / "alone.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "alone", raising=False)
    with pytest.raises(StartFailure) as failure:
        loader.load("alone", factory=factory)
    assert (failure.value.kind, failure.value.text) == (kind, text)
