"""What "module:attribute" may lead to: applications, factories, and what is refused, and how."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, StartError, wait_until


def test_applications_and_factories_of_every_kind_are_served() -> None:
    """Each with a lifespan and its state; one server with a mount for each."""
    names = [
        *("returns_awaitable", "optional", "hidden", "decorated", "instance", "method", "Endpoint"),
        *("partial", "Double", "double", "marked", "with_defaults", "Configured", "configured"),
        "makes_double",
    ]
    mounts = [f"/{name}=core_kinds:{name}" for name in names]
    mounts.append("/explicit=core_kinds:any_arguments;factory=true")
    with Hornbeam("core_kinds:create_app", mount=mounts, lifespan="on") as server:
        paths = ["", "explicit", *names]
        answers = [httpx.get(f"{server.url}/{path}").text for path in paths]
        assert answers == ["begun"] * len(paths)
    assert "rror" not in server.output


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_factory_says_so(way: str) -> None:
    env = {"HORNBEAM_FACTORY": "true"} if way == "environment" else {}
    options = {"factory": True} if way == "flag" else {}
    with Hornbeam("core_kinds:any_arguments", env=env, **options) as server:
        assert httpx.get(server.url).text == "begun"


def test_a_factory_is_called_again_by_a_reload() -> None:
    with Hornbeam("core_kinds:create_app", factory=True, workers=2) as server:
        before = set(server.workers())
        assert httpx.get(server.url).text == "begun"
        os.kill(server.beam(), signal.SIGHUP)
        wait_until(lambda: not before & set(server.workers()), 20, "new workers serve")
        assert httpx.get(server.url).text == "begun"


@pytest.mark.parametrize(
    ("name", "factory", "text"),
    [
        ("needs", True, '"core_kinds:needs" takes (config), and a factory is called with nothing'),
        ("wsgi", False, '"core_kinds:wsgi" takes (environ, start_response): it is a WSGI'),
        ("makes_nothing", False, '"core_kinds:makes_nothing" returned an object of type NoneType'),
    ],
)
def test_what_cannot_be_served_is_refused_at_the_start(name: str, factory: bool, text: str) -> None:
    server = Hornbeam(f"core_kinds:{name}", factory=factory, workers=2)
    with pytest.raises(StartError) as error, server:
        pass
    assert error.value.status == 1
    assert error.value.output.startswith(f"hornbeam: the application cannot be served: {text}")
    assert error.value.output.count("\n") == 1


def test_a_factory_that_raises_shows_its_traceback() -> None:
    with pytest.raises(StartError) as error, Hornbeam("core_kinds:raises"):
        pass
    lines = error.value.output.splitlines()
    assert lines[:2] == [
        "hornbeam: the application's factory failed:",
        "Traceback (most recent call last):",
    ]
    assert lines[-1] == "LookupError: no such setting"
    assert [line.split(", in ")[-1] for line in lines if line.startswith("  File ")] == ["raises"]


SOURCE = """
import django.conf, flask, quart
django.conf.settings.configure()
from django.core.wsgi import get_wsgi_application
from django.core.asgi import get_asgi_application
flask_app = flask.Flask(__name__)
django_wsgi = get_wsgi_application()
def create_quart():
    app = quart.Quart(__name__)
    app.add_url_rule("/quart", view_func=lambda: "Quart")
    return app
"""


def test_real_frameworks(tmp_path: Path) -> None:
    (tmp_path / "core_written.py").write_text(SOURCE)
    for name in ("flask_app", "django_wsgi"):
        server = Hornbeam(f"core_written:{name}", pythonpath=str(tmp_path))
        with pytest.raises(StartError, match="it is a WSGI application, and Horn"), server:
            pass
    mounts = ["/django=core_written:get_asgi_application"]
    with Hornbeam("core_written:create_quart", mount=mounts, pythonpath=str(tmp_path)) as server:
        assert httpx.get(f"{server.url}/quart").text == "Quart"
        assert httpx.get(f"{server.url}/django").status_code in (400, 404, 500)
        assert "WSGI" not in server.output
