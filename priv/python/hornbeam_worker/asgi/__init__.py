"""The ASGI protocols: scope building and one module per protocol (http, websocket, lifespan)."""
