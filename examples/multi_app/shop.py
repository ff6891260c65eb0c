"""Flask below /shop, in threads. `url_for` knows the prefix: it is WSGI's SCRIPT_NAME."""

from __future__ import annotations

from flask import Flask, url_for

app = Flask(__name__)


@app.get("/")
def shop() -> str:
    return f'<h1>Shop</h1><a href="{url_for("cart", number=3)}">a cart</a>\n'


@app.get("/cart/<int:number>")
def cart(number: int) -> dict[str, object]:
    return {"cart": number, "here": url_for("cart", number=number)}
