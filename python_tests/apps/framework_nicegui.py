"""A NiceGUI page that grows when its browser has connected."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import ui

SIZE = 400_000


@ui.page("/")
async def index() -> None:
    """A small update, then a large one, then a small one."""
    label = ui.label("empty")
    await ui.context.client.connected()
    label.set_text("small")
    ui.timer(0.2, lambda: label.set_text("x" * SIZE), once=True)
    ui.timer(0.4, lambda: label.set_text("done"), once=True)


app = FastAPI()
ui.run_with(app)
