"""python-socketio and an MCP server in one application; neither knows of other processes."""

from __future__ import annotations

import socketio
from mcp.server import MCPServer

sio = socketio.AsyncServer(async_mode="asgi")
mcp = MCPServer("tools")


@mcp.tool()
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


async def echo(_sid: str, data: str) -> str:
    """The acknowledgement is what came."""
    return data


sio.on("echo", echo)
app = socketio.ASGIApp(sio, mcp.sse_app())
