"""Django through ASGI: the routes that test_frameworks asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
)
django.setup()

done: list[str] = []
wanted: list[str] = []


def after_response(**_about: object) -> None:
    """Django's place for what comes after a response."""
    done.extend(wanted)
    wanted.clear()


request_finished.connect(after_response)


async def item(request: HttpRequest, number: int) -> HttpResponseBase:
    return JsonResponse(
        {
            "id": number,
            "q": request.GET.get("q"),
            "started": "yes",
            "url": request.build_absolute_uri(),
        }
    )


async def body(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse({"size": len(request.body)}, status=201)


async def upload(request: HttpRequest) -> HttpResponseBase:
    size = 0
    while chunk := request.read(65_536):
        size += len(chunk)
    return JsonResponse({"size": size})


async def stream(_request: HttpRequest) -> HttpResponseBase:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def background(request: HttpRequest) -> HttpResponseBase:
    wanted.append(request.GET["name"])
    return HttpResponse("later")


def finished(_request: HttpRequest) -> HttpResponseBase:  # not async: runs in a thread
    return JsonResponse(done, safe=False)


def file(_request: HttpRequest) -> HttpResponseBase:
    return FileResponse(Path(os.environ["FRAMEWORK_FILE"]).open("rb"))


async def error(_request: HttpRequest) -> HttpResponseBase:
    raise RuntimeError("a mistake in the application")


async def refused(_request: HttpRequest) -> HttpResponseBase:
    return HttpResponse("teapot", status=418)


async def cookies(_request: HttpRequest) -> HttpResponseBase:
    response = HttpResponse("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


urlpatterns = [
    path("items/<int:number>", item),
    path("body", body),
    path("upload", upload),
    path("stream", stream),
    path("background", background),
    path("finished", finished),
    path("file", file),
    path("error", error),
    path("refused", refused),
    path("cookies", cookies),
]
app = get_asgi_application()
