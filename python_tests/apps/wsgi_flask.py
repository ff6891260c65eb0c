"""Flask: sessions, uploads, streams, files, a blueprint, what goes wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import flask
from flask import Blueprint, Flask, Response, jsonify, request, session

app = Flask(__name__)
app.secret_key = "for tests"
admin = Blueprint("admin", __name__, url_prefix="/admin")


@admin.get("/here")
def here() -> str:
    """Where the blueprint is, for a browser."""
    return flask.url_for("admin.here", _external=True)


app.register_blueprint(admin)


@app.get("/visits")
def visits() -> Response:
    """Counted in a signed cookie."""
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(session["visits"])


@app.post("/upload")
def upload() -> Response:
    """A form's file and its field."""
    file = request.files["file"]
    digest = hashlib.file_digest if hasattr(hashlib, "file_digest") else None
    data = file.read() if digest is None else b""
    found = hashlib.sha256(data) if digest is None else digest(file.stream, "sha256")
    return jsonify(name=file.filename, note=request.form["note"], sha256=found.hexdigest())


@app.post("/json")
def double() -> Response:
    """JSON in, JSON out."""
    given: Any = request.get_json()
    return jsonify(given["number"] * 2)


@app.get("/stream")
def stream() -> Response:
    """A generator that needs its request."""

    def parts() -> Iterator[str]:
        for number in range(3):
            yield f"{request.args['name']} {number}\n"

    return Response(flask.stream_with_context(parts()), mimetype="text/plain")


@app.get("/file")
def file() -> Response:
    """Whole, conditional, in parts."""
    return flask.send_file(os.environ["FRAMEWORK_FILE"], conditional=True)


@app.get("/error")
def error() -> str:
    """An exception, which Flask logs to wsgi.errors."""
    raise LookupError("a mistake in the Flask application")


@app.get("/address")
def address() -> Response:
    """Who asks, and for what."""
    return jsonify([request.remote_addr, request.full_path, request.script_root, request.is_secure])
