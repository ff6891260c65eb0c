"""FastAPI: the routes that test_frameworks asks for."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

done: list[str] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"started": "yes"}


app = FastAPI(lifespan=lifespan)


@app.get("/items/{number}")
async def item(number: int, request: Request, q: str | None = None) -> dict[str, Any]:
    return {"id": number, "q": q, "started": request.state.started, "url": str(request.url)}


@app.post("/body", status_code=201)
async def body(request: Request) -> dict[str, int]:
    return {"size": len(await request.body())}


@app.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/background")
async def background(name: str, tasks: BackgroundTasks) -> PlainTextResponse:
    tasks.add_task(done.append, name)
    return PlainTextResponse("later", background=tasks)


@app.get("/finished")
def finished() -> list[str]:  # not async: runs in a thread
    return done


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(os.environ["FRAMEWORK_FILE"])


@app.get("/error")
async def error() -> None:
    raise RuntimeError("a mistake in the application")


@app.get("/refused")
async def refused() -> None:
    raise HTTPException(status_code=418, detail="teapot")


@app.get("/cookies")
async def cookies() -> PlainTextResponse:
    response = PlainTextResponse("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response
