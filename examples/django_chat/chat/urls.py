"""A page for each room, and who the visitor is, kept in a session."""

import os

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path


def room(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "room.html", {"name": name, "user": request.session.get("user", "")})


def login(request: HttpRequest, user: str) -> JsonResponse:
    request.session["user"] = user
    return JsonResponse({"user": user, "worker": os.getpid()})


def who(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.session.get("user"), "worker": os.getpid()})


urlpatterns = [
    path("room/<slug:name>/", room),
    path("login/<slug:user>/", login),
    path("who/", who),
]
