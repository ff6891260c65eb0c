"""Django with tasks that Hornbeam runs."""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    LOGGING_CONFIG=None,
    USE_TZ=True,
    TASKS={
        "default": {
            "BACKEND": "hornbeam_erlang.django_tasks.HornbeamBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"retries": 1, "backoff": 0.01},
        }
    },
)
django.setup()

try:
    from django.tasks import default_task_backend, task
except ImportError:
    from django_tasks import default_task_backend, task


@task(queue_name="mail", priority=5)  # type: ignore[untyped-decorator]
def send(address: str, *, copies: int) -> str:
    return f"{copies} to {address} in {os.getpid()}"


@task()  # type: ignore[untyped-decorator]
async def wait(number: int) -> int:
    return number + 1


@task(takes_context=True)  # type: ignore[untyped-decorator]
def fail(context: Any) -> None:
    raise ValueError(f"attempt {context.attempt}")


TASKS: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    "send": (send, ["ada"], {"copies": 2}),
    "wait": (wait, [1], {}),
    "fail": (fail, [], {}),
}


def enqueue(_request: HttpRequest, name: str) -> JsonResponse:
    found, args, kwargs = TASKS[name]
    result = found.enqueue(*args, **kwargs)
    return JsonResponse({"id": result.id, "status": result.status, "queue": found.queue_name})


async def look(_request: HttpRequest, result_id: str) -> JsonResponse:
    result = await default_task_backend.aget_result(result_id)
    done = result.status == "SUCCESSFUL"
    return JsonResponse(
        {
            "status": result.status,
            "value": result.return_value if done else None,
            "attempts": result.attempts,
            "args": result.args,
            "kwargs": result.kwargs,
            "errors": [error.exception_class_path for error in result.errors],
            "finished": result.finished_at is not None,
        }
    )


urlpatterns = [path("enqueue/<name>", enqueue), path("look/<result_id>", look)]
app = get_asgi_application()
