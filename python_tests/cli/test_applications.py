"""What "module:attribute", or a module alone, may lead to: applications, factories, and what is
refused, and how; and which application is found where none is named."""

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
    server = Hornbeam("core_written:flask_app", worker_class="asgi", pythonpath=str(tmp_path))
    with pytest.raises(StartError, match="it is a WSGI application, and worker_class is"), server:
        pass
    mounts = ["/django=core_written:get_asgi_application", "/wsgi=core_written:django_wsgi"]
    with Hornbeam("core_written:create_quart", mount=mounts, pythonpath=str(tmp_path)) as server:
        assert httpx.get(f"{server.url}/quart").text == "Quart"
        assert httpx.get(f"{server.url}/django").status_code in (400, 404, 500)
        assert httpx.get(f"{server.url}/wsgi").status_code in (400, 404, 500)
        assert "core_written:django_wsgi (WSGI) at /wsgi on " in server.output
        assert server.output.count("WSGI") == 1


# A module alone, and none

APP = """
async def {name}(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"{text}"}})
"""
FACTORY = (
    APP.format(name="built", text="built") + "\ndef create_app(setting=1):\n    return built\n"
)


def write(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)


def test_a_module_alone(tmp_path: Path) -> None:
    """`app` before `application`, a mount's, too; with --factory create_app goes before both."""
    both = APP.format(name="app", text="app") + APP.format(name="application", text="no")
    write(
        tmp_path,
        both=both,
        other="app = {}\n" + APP.format(name="application", text="application"),
        made=FACTORY + "app = None\n",
    )
    mounts = ["/other=other", "/made=made;factory=true"]
    with Hornbeam("both", mount=mounts, pythonpath=str(tmp_path)) as server:
        texts = [httpx.get(f"{server.url}/{path}").text for path in ("", "other", "made")]
    assert texts == ["app", "application", "built"]


def test_a_module_alone_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, only=APP.format(name="app", text="only"))
    with Hornbeam(None, env={"HORNBEAM_APP": "only"}, cwd=tmp_path, pythonpath=None) as server:
        assert httpx.get(server.url).text == "only"


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        (["app", "main"], "app"),
        (["main", "application"], "main"),
        (["application", "asgi"], "application"),
        (["asgi", "wsgi", "app__main"], "asgi"),
        (["app__main", "wsgi"], "app__main"),
    ],
)
def test_the_application_is_found(tmp_path: Path, modules: list[str], found: str) -> None:
    write(tmp_path, **{name: APP.format(name="app", text=name) for name in modules})
    with Hornbeam(None, cwd=tmp_path, pythonpath=None) as server:
        assert httpx.get(server.url).text == found
    file, module = found.replace("__", "/"), found.replace("__", ".")
    said = f'No application is named: taking "{module}", which is {tmp_path}/{file}.py\n'
    assert said in server.output
    assert f" serving {module} on http://" in server.output


def test_it_is_found_in_the_applications_folder(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    write(tmp_path, app="raise LookupError\n", code__main=FACTORY)
    with Hornbeam(None, cwd=tmp_path, pythonpath="code", factory=True) as server:
        assert httpx.get(server.url).text == "built"


def test_nothing_is_looked_for_where_there_are_mounts(tmp_path: Path) -> None:
    write(tmp_path, app=APP.format(name="app", text="app"))
    with Hornbeam(None, cwd=tmp_path, mount="/a=app", pythonpath=None) as server:
        assert [httpx.get(server.url + path).status_code for path in ("/", "/a")] == [404, 200]


def test_no_application_is_found(tmp_path: Path) -> None:
    write(tmp_path, wsgi="", server="")
    with pytest.raises(StartError) as error, Hornbeam(None, cwd=tmp_path, pythonpath=None):
        pass
    assert error.value.status == 2
    assert error.value.output == (
        "hornbeam: run needs the application to serve, such as app:app: none is named, and there is"
        f" no app.py, main.py, application.py, asgi.py or app/main.py in {tmp_path}\n"
        "Try: hornbeam help\n"
    )
