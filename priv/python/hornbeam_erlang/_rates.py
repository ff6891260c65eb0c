"""Rate limits without a framework: what "100/minute" says, the rule, what a client is told of it.

`decide` is the mirror of `hornbeam_gcra:decide/4`, for the stand-in. Called by: `ratelimit`,
`_standalone`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from hornbeam_erlang._operations import OPERATIONS

__all__ = [
    "FAILURES", "MOST_REQUESTS", "MOST_SECONDS", "MOST_WINDOWS", "ROWS", "SCOPES", "Hit", "Window",
    "client_of", "decide", "fields_of", "hit_request", "parse", "reset_request", "row_of",
    "verdict",
]  # fmt: skip

MOST_WINDOWS: Final = 8
MOST_REQUESTS: Final = 1_000_000_000
MOST_SECONDS: Final = 366 * 86400
# The name of all rows in the state: hornbeam_rate_limit.
ROWS: Final = "hornbeam.rate_limit"

# Over what a limit counts; what becomes of a request that cannot be counted exactly.
SCOPES: Final = ("node", "cluster", "exact")
FAILURES: Final = ("node", "open", "closed", "raise")

_SECOND: Final = 1_000_000_000
_WORDS: Final = {"sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600, "day": 86400}
_UNITS: Final = {
    **_WORDS,
    **{f"{word}s": seconds for word, seconds in _WORDS.items()},
    **{"s": 1, "m": 60, "h": 3600, "d": 86400},
}
_LIMIT: Final = re.compile(r"\s*(\d{1,12})\s*(?:/|per\b)\s*(\d{1,9})?\s*([a-z]+)\s*", re.ASCII)


class Window(NamedTuple):
    """So many requests in so many seconds, `burst` of them at once."""

    requests: int
    seconds: int
    burst: int

    @property
    def interval(self) -> int:
        """ns that one request uses up; rounded up, so that it is never more than said."""
        return -(-self.seconds * _SECOND // self.requests)

    @property
    def tolerance(self) -> int:
        """ns that may be used up."""
        return self.burst * self.interval


class Hit(NamedTuple):
    """What became of a request. Of several windows, `limit`, `remaining` and `reset` are those of
    the one with the least left.

    allowed    whether it passes
    limit      how many requests its window lets through at once
    remaining  how many more would pass now
    wait       seconds until this one would; 0.0 if it does
    reset      seconds until the window is whole again, if nothing else comes
    window     which one that is, from 0
    """

    allowed: bool
    limit: int
    remaining: int
    wait: float
    reset: float
    window: int


def parse(limits: Iterable[str], burst: int | None) -> tuple[Window, ...]:
    """The windows of texts such as "100/minute", "10/5 seconds", "5 per hour"; ValueError."""
    texts = [part for text in limits for part in re.split(r"[;,]", text)]
    if not 1 <= len(texts) <= MOST_WINDOWS:
        raise ValueError(f"a rate limit has 1 to {MOST_WINDOWS} windows, not {len(texts)}")
    if burst is not None and (type(burst) is not int or burst < 1):
        raise ValueError(f"burst must be an int of at least 1, not {burst!r}")
    return tuple(_window(text, burst) for text in texts)


def _window(text: str, burst: int | None) -> Window:
    match = _LIMIT.fullmatch(text.lower())
    if not match or match[3] not in _UNITS:
        raise ValueError(
            f'{text!r} is no rate limit: write "100/minute", "10/5 seconds" or "5 per hour"'
        )
    requests, seconds = int(match[1]), int(match[2] or 1) * _UNITS[match[3]]
    if not 1 <= requests <= MOST_REQUESTS:
        raise ValueError(f"{text!r}: 1 to {MOST_REQUESTS:,} requests")
    if not 1 <= seconds <= MOST_SECONDS:
        raise ValueError(f"{text!r}: 1 second to 366 days")
    return Window(requests, seconds, requests if burst is None else min(burst, requests))


def row_of(name: str, windows: tuple[Window, ...], key: str) -> bytes:
    """Under which the state keeps it: 16 bytes, whatever a client sends, and nobody reads a key of
    an API there. Other windows are another row."""
    said = "\0".join([name, *(f"{w.requests}/{w.seconds}/{w.burst}" for w in windows), key])
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def hit_request(
    row: bytes,
    cost: int,
    windows: tuple[Window, ...],
    scope: str = "node",
    on_failure: str = "node",
) -> tuple[int, list[object]]:
    """What is asked of Erlang; ValueError for a cost that could never pass."""
    if type(cost) is not int or not 0 <= cost <= min(window.burst for window in windows):
        raise ValueError(
            f"cost must be an int from 0 to what passes at once, not {cost!r}: it could never pass"
        )
    rule = [(window.interval, window.tolerance) for window in windows]
    if scope == "node":
        return OPERATIONS["rate_hit"], [row, cost, rule]
    failing = FAILURES.index(on_failure)
    return OPERATIONS["rate_hit_cluster"], [row, cost, rule, scope == "exact", failing]


def reset_request(row: bytes, scope: str) -> tuple[int, list[object]]:
    """The windows of a row are whole again."""
    if scope == "node":
        return OPERATIONS["state_delete"], [(ROWS, row)]
    return OPERATIONS["rate_reset"], [row, scope == "exact"]


def verdict(answer: tuple[bool, int, list[int]], windows: tuple[Window, ...]) -> Hit:
    """Erlang's answer, for people."""
    allowed, wait, used = answer
    left, reset, number = min(
        ((window.tolerance - ns) // window.interval, -ns, number)
        for number, (window, ns) in enumerate(zip(windows, used, strict=True))
    )
    limit = windows[number].burst
    return Hit(allowed, limit, max(0, left), wait / _SECOND, -reset / _SECOND, number)


def decide(
    now: int, cost: int, windows: list[tuple[int, int]], until: list[int]
) -> tuple[tuple[bool, int, list[int]], list[int]]:
    """What becomes of `cost` requests at `now`, and until when the windows are used up then."""
    bases = [max(time, now) for time in until]
    news = [base + cost * interval for base, (interval, _) in zip(bases, windows, strict=True)]
    waits = [new - now - most for new, (_, most) in zip(news, windows, strict=True)]
    wait = max(0, *waits)
    if wait:
        return (False, wait, [base - now for base in bases]), until
    return (True, 0, [new - now for new in news]), news


def fields_of(hit: Hit, windows: tuple[Window, ...], kinds: Iterable[str]) -> dict[str, str]:
    """The fields of a response that tell a client where it stands, of each kind."""
    reset = math.ceil(hit.reset)
    fields: dict[str, str] = {}
    for kind in kinds:
        if kind == "draft-8":
            fields["RateLimit-Policy"] = ", ".join(
                f'"{number}";q={w.requests};w={w.seconds}' for number, w in enumerate(windows)
            )
            fields["RateLimit"] = f'"{hit.window}";r={hit.remaining};t={reset}'
        elif kind == "draft-6":
            fields["RateLimit-Policy"] = ", ".join(f"{w.requests};w={w.seconds}" for w in windows)
            fields |= _three("RateLimit", hit, reset)
        else:
            fields |= _three("X-RateLimit", hit, reset)
    if not hit.allowed:
        fields["Retry-After"] = str(math.ceil(hit.wait))
    return fields


def _three(prefix: str, hit: Hit, reset: int) -> dict[str, str]:
    return {
        f"{prefix}-Limit": str(hit.limit),
        f"{prefix}-Remaining": str(hit.remaining),
        f"{prefix}-Reset": str(reset),
    }


def client_of(host: str | None) -> str:
    """Whom an address belongs to: of IPv6 the first 64 bits, which one customer has. "" where there
    is none: all that come by a Unix socket without a trusted proxy's word are one."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
