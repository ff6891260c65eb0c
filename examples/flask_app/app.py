"""A Flask application: a form that uploads, a session, an answer that is streamed, a file, and a
counter that all workers share.

Run it with `make run PYTHONPATH=examples/flask_app`, or `hornbeam run app:app` in this folder: that
it is WSGI is seen by what it takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flask import Blueprint, Flask, Response, jsonify, request, send_file, session

from hornbeam_erlang import state_incr

app = Flask(__name__)
# A real one is a secret: python -c "import secrets; print(secrets.token_hex())"
app.secret_key = os.environ.get("SECRET_KEY", "for this example alone")
api = Blueprint("api", __name__, url_prefix="/api")

PAGE = """<!doctype html>
<title>Flask</title>
<p>You were here {mine} times; all together {all} times.</p>
<form action="/api/upload" method="post" enctype="multipart/form-data">
<input type="file" name="file"> <button>Upload</button></form>
<p><a href="/count">a streamed answer</a>, <a href="/source">the source of this page</a></p>
"""


@app.get("/")
def home() -> str:
    """Counts visits: the visitor's own in a signed cookie, those of all in the shared state."""
    session["visits"] = session.get("visits", 0) + 1
    return PAGE.format(mine=session["visits"], all=state_incr("visits"))


@api.post("/upload")
def upload() -> tuple[Response, int]:
    """Reads a file of any size, a piece at a time."""
    file = request.files["file"]
    size = sum(len(piece) for piece in iter(lambda: file.stream.read(65_536), b""))
    return jsonify(name=file.filename, size=size), 201


@app.get("/count")
def count() -> Response:
    """Streams: each line leaves when it is made."""

    def lines() -> Iterator[str]:
        for number in range(1, 11):
            yield f"{number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/source")
def source() -> Response:
    """A file, which the server sends by itself (sendfile)."""
    return send_file(Path(__file__).resolve(), mimetype="text/plain")


app.register_blueprint(api)
