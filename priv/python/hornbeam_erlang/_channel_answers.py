"""What handlers of channels return, in whichever form, as one: here, and nowhere else, the forms of
the original (`('ok', response, socket)`) and those of this package meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from hornbeam_erlang._channel_socket import Connected, Refused, Reply, Socket, Stop

__all__ = ["connected", "intercepted", "joined", "may", "of_event", "rejoined"]

Joined = tuple[dict[str, Any], Socket]

# Kept apart from None, which a payload may be.
NOBODY: Final = object()


class Answer(NamedTuple):
    """Of an event. `payload` NOBODY: no answer; `reason`: not None, the channel ends."""

    socket: Socket
    payload: Any = NOBODY
    status: str = "ok"
    reason: str | None = None


def joined(returned: Any, socket: Socket) -> Joined:
    """The response and the socket; or raises Refused."""
    match returned:
        case None:
            return {}, socket
        case Socket():
            return {}, returned
        case dict():
            return returned, socket
        case (dict() as response, Socket() as new) | ("ok", dict() as response, Socket() as new):
            return response, new
        case ("ok", None, Socket() as new) | ("ok", Socket() as new):
            return {}, new
        case ("error", str() | dict() as reason):
            raise Refused(reason)
    _wrong(
        "on_join", returned, "None, a dict, a socket, (dict, socket), ('ok', dict, socket) or"
        " ('error', reason)",
    )  # fmt: skip


def of_event(event: str, returned: Any, socket: Socket) -> Answer:
    """What is to be done after an event."""
    match returned:
        case None:
            return Answer(socket)
        case Socket() | ("noreply", Socket()):
            return Answer(returned if isinstance(returned, Socket) else returned[1])
        case dict():
            return Answer(socket, returned)
        case (dict() as payload, Socket() as new):
            return Answer(new, payload)
        case Reply(payload, status, new):
            return Answer(new or socket, payload, status)
        case Stop(reason, payload, new):
            return Answer(new or socket, NOBODY if payload is None else payload, "ok", reason)
        case ("reply", payload, Socket() as new):
            return Answer(new, payload)
        case ("stop", reason, Socket() as new):
            return Answer(new, reason=str(reason))
    _wrong(
        f'on("{event}")', returned, "None, a socket, a dict, (dict, socket), Reply, Stop, ('reply',"
        " payload, socket), ('noreply', socket) or ('stop', reason, socket)",
    )  # fmt: skip


def rejoined(returned: Any, socket: Socket) -> Socket:
    """The socket to go on with."""
    match returned:
        case None:
            return socket
        case Socket():
            return returned
        case ("ok", Socket() as new):
            return new
    _wrong("on_rejoin", returned, "None, a socket or ('ok', socket)")


def intercepted(event: str, returned: Any, socket: Socket) -> tuple[Any, Socket]:
    """The payload that the client gets, None for nothing, and the socket."""
    match returned:
        case None | dict() | bytes():
            return returned, socket
        case (None | dict() | bytes() as payload, Socket() as new):
            return payload, new
    _wrong(f'intercept("{event}")', returned, "None, a dict, bytes or (payload, socket)")


def may(returned: Any) -> None:
    """Raises Refused unless it is allowed."""
    if returned is False:
        raise Refused("unauthorized")
    if returned is not None and returned is not True:
        _wrong("authorize", returned, "None, True or False")


def connected(returned: Any) -> Connected:
    """The assigns of a connection, and its name."""
    match returned:
        case None:
            return Connected()
        case Connected():
            return returned
        case Mapping():
            return Connected(returned)
    _wrong("connect", returned, "None, a dict of assigns or Connected")


def _wrong(what: str, returned: Any, wanted: str) -> NoReturn:
    raise TypeError(f"{what} returned {returned!r}; it returns {wanted}")
