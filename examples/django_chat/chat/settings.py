"""The least that a project with rooms and sessions needs."""

from pathlib import Path

SECRET_KEY = "an example: say your own"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "chat.urls"
INSTALLED_APPS = ["django.contrib.sessions", "channels"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    }
]
DATABASES: dict[str, dict[str, str]] = {}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {"default": {"BACKEND": "hornbeam_erlang.django.Cache"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "hornbeam_erlang.django.ChannelLayer"}}
