"""Django through WSGI: its admin and what that serves, sessions, uploads, middleware, a transaction
for each request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import django
from django.conf import settings

FOLDER = os.environ["FRAMEWORK_FOLDER"]
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    LOGGING_CONFIG=None,
    DEBUG=True,
    USE_TZ=True,
    STATIC_URL="static/",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{FOLDER}/db.sqlite3",
            "ATOMIC_REQUESTS": True,
            "OPTIONS": {"timeout": 20},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "wsgi_django.stamp",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.staticfiles.views import serve  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path  # noqa: E402

call_command("migrate", verbosity=0)
if not User.objects.filter(username="root").exists():
    User.objects.create_superuser("root", "root@example.org", "secret")

Respond = Callable[[HttpRequest], HttpResponseBase]


def stamp(respond: Respond) -> Respond:
    """A middleware."""

    def stamped(request: HttpRequest) -> HttpResponseBase:
        response = respond(request)
        response["X-Stamp"] = f"{request.method} {request.path}"
        return response

    return stamped


def upload(request: HttpRequest) -> HttpResponse:
    """Files of a form, the large ones from a temporary file."""
    return JsonResponse({name: file.size for name, file in request.FILES.items()})


def add(request: HttpRequest) -> HttpResponse:
    """A group; what fails afterwards takes it back."""
    Group.objects.create(name=request.GET["name"])
    if "fail" in request.GET:
        raise LookupError("after the row was written")
    return HttpResponse("added")


def groups(_request: HttpRequest) -> HttpResponse:
    """Their names."""
    return JsonResponse(sorted(Group.objects.values_list("name", flat=True)), safe=False)


def stream(_request: HttpRequest) -> HttpResponseBase:
    """A generator."""

    def parts() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return StreamingHttpResponse(parts(), content_type="text/plain")


def file(_request: HttpRequest) -> HttpResponseBase:
    """A file by wsgi.file_wrapper."""
    return FileResponse(open(os.environ["FRAMEWORK_FILE"], "rb"))  # noqa: PTH123


def visits(request: HttpRequest) -> HttpResponse:
    """Counted in a session in the database."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse(request.session["visits"], safe=False)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("static/<path:path>", serve),
    path("upload", upload),
    path("add", add),
    path("groups", groups),
    path("stream", stream),
    path("file", file),
    path("visits", visits),
]
app = get_wsgi_application()
