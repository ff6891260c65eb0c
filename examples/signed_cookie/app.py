"""Users who are known before Python is asked: an HTTP hook reads a signed cookie.

    mkdir -p ebin
    erlc -pa _build/default/lib/hornbeam/ebin -o ebin examples/signed_cookie/signed_cookie.erl
    COOKIE_SECRET=change-me bin/hornbeam run app:app --pythonpath examples/signed_cookie \\
        --venv .venv --erlang-path ebin --http-hooks signed_cookie

`curl -c jar -d '' '127.0.0.1:8000/login?name=ada'` signs in, `curl -b jar 127.0.0.1:8000/` is then
greeted by name. What has no valid cookie never reaches the application, but for /login.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from typing import Annotated

from fastapi import FastAPI, Header, Response

app = FastAPI()
SECRET = os.environ["COOKIE_SECRET"].encode()
HOURS = 8


@app.get("/")
async def home(x_user: Annotated[str, Header()]) -> dict[str, str]:
    """The field is the hook's: it takes away what a client sends by that name."""
    return {"hello": x_user}


@app.get("/login")
async def form() -> dict[str, str]:
    return {"sign in": "POST /login?name=NAME"}


@app.post("/login")
async def login(name: str, response: Response) -> dict[str, str]:
    """Here a password would be checked."""
    response.set_cookie("session", signed(name), max_age=HOURS * 3600, httponly=True)
    return {"welcome": name}


def signed(name: str) -> str:
    text = f"{name.encode().hex()}.{int(time.time()) + HOURS * 3600}"
    return f"{text}.{hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()}"
