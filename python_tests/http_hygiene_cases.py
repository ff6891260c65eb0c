"""The table of requests for test_hygiene, written from RFC 9110, 9112 and 3986.

Generated where a rule speaks of a class of bytes: every byte outside (and inside) it is a case. The
name of a case begins with the section that it checks; "chunk:" in it says that what is wrong comes
after the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# RFC 9110, 5.6.2
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# RFC 3986, 2.2, 2.3 and "%"; "#" begins a fragment, which no target has. What browsers send beside
# them (the URL standard of the WHATWG, "path state" and "query state"): OTHER and bytes of UTF-8
URI = frozenset(
    b"-._~:/?[]@!$&'()*+,;=%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
OTHER = frozenset(b'|{}"^`\\<>')
HIGH = (0x80, 0xA0, 0xC3, 0xE2, 0xFE, 0xFF)


class Case(NamedTuple):
    """A request, and the statuses that are right for it; 200: the application answers."""

    name: str
    request: bytes
    statuses: tuple[int, ...] = (400,)


def request(
    line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes | None = b"Host: a",
    body: bytes = b"",
) -> bytes:  # fmt: skip
    """A request that is well-formed but for what is given; the client closes after it."""
    lines = [line, *([] if host is None else [host]), *fields, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def field_values() -> Iterator[Case]:
    """RFC 9110, 5.5."""
    for byte in [*range(0x20), 0x7F]:
        if byte == 0x09:
            continue
        c = bytes([byte])
        for where, value in (("inside", b"a" + c + b"b"), ("end", b"ab" + c)):
            yield Case(
                f"9110-5.5 {byte:#04x} {where} value", request(b"GET / HTTP/1.1", b"X-A: " + value)
            )
        yield Case(f"9110-5.5 {byte:#04x} only", request(b"GET / HTTP/1.1", b"Cookie: " + c))
    for byte in [0x09, 0x20, 0x21, 0x22, 0x5C, 0x7E, *HIGH]:
        value = b"X-A: a" + bytes([byte]) + b"b"
        yield Case(f"9110-5.5 {byte:#04x} allowed", request(b"GET / HTTP/1.1", value), (200,))
    yield Case("9110-5.5 empty value", request(b"GET / HTTP/1.1", b"X-A:"), (200,))
    yield Case("9110-5.6.3 spaces around", request(b"GET / HTTP/1.1", b"X-A: \t a \t "), (200,))


def field_names() -> Iterator[Case]:
    """RFC 9110, 5.1 and 5.6.2."""
    for byte in [*range(0x80), *HIGH]:
        if byte in TOKEN or byte == 0x3A:
            continue
        c = bytes([byte])
        yield Case(
            f"9110-5.1 {byte:#04x} inside name", request(b"GET / HTTP/1.1", b"X" + c + b"Y: a")
        )
        yield Case(f"9110-5.1 {byte:#04x} begins name", request(b"GET / HTTP/1.1", c + b"XY: a"))
    for byte in sorted(TOKEN):
        name = b"X" + bytes([byte]) + b"y: a"
        yield Case(f"9110-5.6.2 {byte:#04x} allowed", request(b"GET / HTTP/1.1", name), (200,))
    yield Case("9110-5.1 empty name", request(b"GET / HTTP/1.1", b": a"))


def lines() -> Iterator[Case]:
    """RFC 9112, 2.2, 5.1 and 5.2: line ends, folding, what surrounds a name."""
    for c, name in ((b" ", "SP"), (b"\t", "HTAB")):
        yield Case(
            f"9112-5.1 {name} before the colon", request(b"GET / HTTP/1.1", b"X-A" + c + b": a")
        )
        yield Case(f"9112-5.2 folded with {name}", request(b"GET / HTTP/1.1", b"X-A: a", c + b"b"))
        yield Case(
            f"9112-2.2 {name} before the first field",
            b"GET / HTTP/1.1\r\n" + c + b"Host: a\r\n\r\n",
        )
        yield Case(f"9112-2.2 {name} before the request line", c + request())
    yield Case("9112-5 no colon", request(b"GET / HTTP/1.1", b"nothing here"))
    yield Case("9112-2.2 LF ends the head", b"GET / HTTP/1.1\r\nHost: a\n\n")
    yield Case("9112-2.2 LF ends a field", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\nX-B: c\r\n\r\n")
    yield Case("9112-2.2 LF ends the host", b"GET / HTTP/1.1\r\nHost: a\nX-B: c\r\n\r\n")
    yield Case("9112-2.2 LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n")
    yield Case("9112-2.2 CR alone", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n")
    yield Case("9112-2.2 LF before the request line", b"\n" + request())
    yield Case("9112-2.2 CRLF before the request line", b"\r\n" + request(), (200,))
    yield Case("9112-2.2 very many empty lines", b"\r\n" * 20 + request())


def request_lines() -> Iterator[Case]:
    """RFC 9112, 3."""
    for byte in [*range(0x20), *b'"(),/:;<=>?@[\\]{}', 0x7F, *HIGH]:
        c = bytes([byte])
        yield Case(f"9112-3.1 {byte:#04x} in the method", request(b"GE" + c + b"T / HTTP/1.1"))
    bad = {
        "no method": b" / HTTP/1.1",
        "no target": b"GET HTTP/1.1",
        "no version": b"GET /",
        "empty target": b"GET  HTTP/1.1",
        "two spaces before the target": b"GET  / HTTP/1.1",
        "two spaces before the version": b"GET /  HTTP/1.1",
        "space after the version": b"GET / HTTP/1.1 ",
        "tab for space": b"GET\t/\tHTTP/1.1",
        "relative target": b"GET a HTTP/1.1",
        "authority form for GET": b"GET a:80 HTTP/1.1",
        "asterisk form for GET": b"GET * HTTP/1.1",
        "other scheme": b"GET ftp://a/ HTTP/1.1",
        "no host": b"GET http:///a HTTP/1.1",
        "user information": b"GET http://u:p@a/ HTTP/1.1",
        "words": b"hello",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }
    for name, line in bad.items():
        yield Case(f"9112-3 {name}", request(line))
    for version in (b"HTTP/1.2", b"HTTP/1.9"):
        yield Case(f"9110-2.5 version {version!r}", request(b"GET / " + version), (200,))
    for version in (b"HTTP/2.0", b"HTTP/2.1", b"HTTP/0.9", b"HTTP/0.1", b"HTTP/3.0"):
        yield Case(f"9110-15.6.6 version {version!r}", request(b"GET / " + version), (505,))
    for version in (b"HTTP/3", b"http/1.1", b"HTTP/1", b"HTTP/1.10", b"HTTP/11", b"HTTP 1.1", b"X"):
        yield Case(f"9112-2.3 version {version!r}", request(b"GET / " + version))
    yield Case("9110-9.3.6 CONNECT", request(b"CONNECT a:80 HTTP/1.1"), (501,))
    yield Case("9110-9.3.8 TRACE", request(b"TRACE / HTTP/1.1"), (501,))
    # To HTTP they are other methods, to an application (ASGI: upper-case) they would be these.
    for method in (b"head", b"Connect", b"trace"):
        yield Case(f"9110-9.1 {method!r}", request(method + b" / HTTP/1.1"), (501,))
    for method in (b"GET", b"DELETE", b"PATCH", b"PROPFIND", b"X-!#$%&'*+.^_`|~9"):
        yield Case(f"9110-9.1 {method!r}", request(method + b" / HTTP/1.1"), (200,))
    yield Case("9112-3.2.2 absolute form", request(b"GET http://a/b?c HTTP/1.1"), (200,))
    yield Case("9112-3.2.2 absolute form of another host", request(b"GET http://b/ HTTP/1.1"))
    yield Case("9112-3.2.4 asterisk form", request(b"OPTIONS * HTTP/1.1"), (200,))


def targets() -> Iterator[Case]:
    """RFC 9112, 3.2; what a target may hold."""
    for byte in range(0x100):
        c = bytes([byte])
        path, query = b"GET /a" + c + b"b HTTP/1.1", b"GET /a?b=" + c + b"c HTTP/1.1"
        if byte in URI | OTHER or byte in HIGH:
            yield Case(f"URL {byte:#04x} in the path", request(path), (200,))
            yield Case(f"URL {byte:#04x} in the query", request(query), (200,))
        elif byte < 0x80:
            yield Case(f"9112-3.2 {byte:#04x} in the path", request(path))
            yield Case(f"9112-3.2 {byte:#04x} in the query", request(query))
            line = b"GET http://a/b" + c + b" HTTP/1.1"
            yield Case(f"9112-3.2.2 {byte:#04x} in an absolute form", request(line))


def strict_targets() -> Iterator[Case]:
    """RFC 3986, 2: with the option strict_target."""
    for byte in [*sorted(URI | OTHER), *HIGH]:
        c = bytes([byte])
        statuses = (200,) if byte in URI else (400,)
        for where, target in (
            ("path", b"/a" + c),
            ("query", b"/?" + c),
            ("form", b"http://a/" + c),
        ):
            line = b"GET " + target + b" HTTP/1.1"
            yield Case(f"3986-2 {byte:#04x} in the {where}", request(line), statuses)


def lengths() -> Iterator[Case]:
    """RFC 9110, 8.6 and RFC 9112, 6.3."""
    bad = [
        b"+5", b"-5", b"-0", b"+0", b"5,5", b"5, 5", b"5, 6", b"0x5", b"5.0", b"5e0", b"five", b"",
        b"5;", b"5 5", b"5\t5", b"\xd9\xa5", b"1" * 19, b"9" * 40, b"5,", b",5", b"0, 0", b"'5'",
        b"5_0", b"0b1",
    ]  # fmt: skip
    post = b"POST / HTTP/1.1"
    for value in bad:
        yield Case(
            f"9110-8.6 length {value!r}",
            request(post, b"Content-Length: " + value, body=b"hello"),
        )
    for first, second in ((b"5", b"6"), (b"5", b"5"), (b"0", b"5"), (b"5", b"0")):
        fields = b"Content-Length: " + first, b"Content-Length: " + second
        yield Case(
            f"9110-8.6 lengths {first!r} and {second!r}", request(post, *fields, body=b"hello")
        )
    for value in (b"5", b"005", b" 5 "):
        yield Case(
            f"9110-8.6 length {value!r}",
            request(post, b"Content-Length: " + value, body=b"hello"),
            (200,),
        )


def codings() -> Iterator[Case]:
    """RFC 9112, 6.1 and 7."""
    post, body = b"POST / HTTP/1.1", b"5\r\nhello\r\n0\r\n\r\n"
    length, chunked = b"Content-Length: 5", b"Transfer-Encoding: chunked"
    yield Case("9112-6.1 length and coding", request(post, length, chunked, body=body))
    yield Case("9112-6.1 coding and length", request(post, chunked, length, body=body))
    zero = request(post, chunked, b"Content-Length: 0", body=body)
    yield Case("9112-6.1 coding and length 0", zero)
    yield Case("9112-6.1 in HTTP/1.0", request(b"POST / HTTP/1.0", chunked, body=body))
    # 6.3: where chunked is not the last one there is no telling where the body ends.
    for value in (
        b"identity", b"gzip", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"chunked;q=1",
        b"chunke", b"chunked, identity", b"", b",", b"chunked,", b"chunked\x0b", b"\x0bchunked",
        b'"chunked"', b"chunked chunked", b"chunked, gzip, chunked",
    ):  # fmt: skip
        coding = b"Transfer-Encoding: " + value
        yield Case(f"9112-6.3 coding {value!r}", request(post, coding, body=body))
    for value in (b"gzip, chunked", b"x ,\tchunked"):
        coding = b"Transfer-Encoding: " + value
        yield Case(f"9112-6.1 coding {value!r}", request(post, coding, body=body), (501,))
    yield Case("9112-6.1 chunked twice", request(post, chunked, chunked, body=body))
    gzip = b"Transfer-Encoding: gzip"
    yield Case("9112-6.3 gzip in a line of its own", request(post, gzip, chunked, body=body))
    yield Case("9112-6.3 gzip in a line after it", request(post, chunked, gzip, body=body))
    for value in (b"chunked", b"CHUNKED", b"Chunked", b" chunked "):
        coding = b"Transfer-Encoding: " + value
        yield Case(f"9112-6.1 coding {value!r}", request(post, coding, body=body), (200,))
    for name, bad in {
        "empty": b"\r\nhello\r\n", "data too long": b"5\r\nhello!\r\n",
        "LF after size": b"5\nhello\r\n", "LF after data": b"5\r\nhello\n0\r\n",
        "NUL": b"5\x00\r\nhello\r\n", "no number after 5": b"5g\r\nhello\r\n",
    }.items():  # fmt: skip
        case = request(post, chunked, body=bad + b"0\r\n\r\n")
        yield Case(f"9112-7.1 chunk: {name}", case)
    for name, bad in {
        "no hexadecimal": b"g\r\nhello\r\n", "minus": b"-5\r\nhello\r\n",
        "plus": b"+5\r\nhello\r\n", "0x": b"0x5\r\nhello\r\n", "quote": b'"5"\r\nhello\r\n',
        "space before": b" 5\r\nhello\r\n", "space after": b"5 \r\nhello\r\n",
        "17 digits": b"00000000000000005\r\nhello\r\n", "2^64": b"10000000000000000\r\nhello\r\n",
        "two sizes": b"5 5\r\nhello\r\n", "semicolon alone": b";\r\nhello\r\n",
        "CR in an extension": b"5;a\rb\r\nhello\r\n", "LF in an extension": b"5;a\nb\r\nhello\r\n",
        "NUL in an extension": b"5;\x00\r\nhello\r\n", "no CRLF after data": b"5\r\nhello5\r\n",
        "data too short": b"6\r\nhello\r\n",
    }.items():  # fmt: skip
        case = request(post, chunked, body=bad + b"0\r\n\r\n")
        yield Case(f"9112-7.1 chunk: {name}", case)
    for name, good in {
        "extension": b"5;a=b\r\nhello\r\n", "upper case": b"A\r\nhellohello\r\n",
        "lower case": b"a\r\nhellohello\r\n", "leading zeros": b"005\r\nhello\r\n",
        "space before an extension": b"5 ;a\r\nhello\r\n", "quoted": b'5;a="b;c"\r\nhello\r\n',
        "spaces in an extension": b"5\t; a = b \r\nhello\r\n",
    }.items():  # fmt: skip
        case = request(post, chunked, body=good + b"0\r\n\r\n")
        yield Case(f"9112-7.1 chunk: {name}", case, (200,))


def trailers() -> Iterator[Case]:
    """RFC 9112, 7.1.2: read, checked like fields, dropped."""
    head = request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n"
    for name, good in {
        "one": b"X-A: b\r\n", "two": b"X-A: b\r\nX-B:\t c \r\n", "empty value": b"X-A:\r\n",
        "a length": b"Content-Length: 5\r\n", "a coding": b"Transfer-Encoding: gzip\r\n",
    }.items():  # fmt: skip
        yield Case(f"9112-7.1.2 chunk: trailer: {name}", head + good + b"\r\n", (200,))
    for name, bad in {
        "no colon": b"nothing here\r\n", "no name": b": a\r\n", "folded": b"X-A: b\r\n c\r\n",
        "space before the colon": b"X-A : b\r\n", "LF": b"X-A: b\n", "CR": b"X-A: b\rc\r\n",
        "NUL": b"X-A: \x00\r\n", "a request": b"GET / HTTP/1.1\r\nHost: a\r\n",
    }.items():  # fmt: skip
        yield Case(f"9112-7.1.2 chunk: trailer: {name}", head + bad + b"\r\n")


def expectations() -> Iterator[Case]:
    """RFC 9110, 10.1.1."""
    post, length = b"POST / HTTP/1.1", b"Content-Length: 5"
    for value in (b"200-ok", b"100-continue, x", b"100-continue;a=b", b"100 continue", b"1"):
        expect = b"Expect: " + value
        yield Case(f"9110-10.1.1 {value!r}", request(post, length, expect, body=b"hello"), (417,))
    for value in (b"100-continue", b"100-CONTINUE"):
        # The body comes with the head: nobody waits for 100.
        expect = b"Expect: " + value
        yield Case(f"9110-10.1.1 {value!r}", request(post, length, expect, body=b"hello"), (200,))
    old = request(b"POST / HTTP/1.0", length, b"Expect: x", body=b"hello")
    yield Case("9110-10.1.1 in HTTP/1.0", old, (200,))


def hosts() -> Iterator[Case]:
    """RFC 9112, 3.2 and RFC 9110, 7.2."""
    get = b"GET / HTTP/1.1"
    yield Case("9112-3.2 no host", request(get, host=None))
    for first, second in (
        (b"a", b"b"),
        (b"a", b"a"),
        (b"", b""),
        (b"a", b""),
        (b"[::1]", b"[::1]"),
    ):
        yield Case(
            f"9112-3.2 hosts {first!r} and {second!r}",
            request(get, b"Host: " + second, host=b"Host: " + first),
        )
    for host in (
        b"a b", b"a/b", b"u@a", b"a:b", b"a:+80", b"a:-80", b"a:99999", b"a:0x50", b"[::1", b"[zz]",
        b"a\tb", b"a?b", b"a#b", b"a\\b", b"a|b", b"<a>", b"a:80:80", b"::1", b"\xc3\xa4", b'"a"',
    ):  # fmt: skip
        yield Case(f"9110-7.2 host {host!r}", request(get, host=b"Host: " + host))
    for host in (
        b"a",
        b"a:80",
        b"A.example",
        b"127.0.0.1:8000",
        b"[::1]",
        b"[::1]:80",
        b"a_b",
        b"a.",
    ):
        yield Case(f"9110-7.2 host {host!r}", request(get, host=b"Host: " + host), (200,))
    yield Case("9112-3.2 no host in HTTP/1.0", request(b"GET / HTTP/1.0", host=None), (200,))


def connections() -> Iterator[Case]:
    """RFC 9110, 7.6.1."""
    for value in (b"@", b"a b", b"a;b", b'"close"', b"close\x0b", b"a=b", b"{close}"):
        yield Case(
            f"9110-7.6.1 connection {value!r}", request(b"GET / HTTP/1.1", b"Connection: " + value)
        )
    # 5.6.1.2: empty elements of a list count for nothing.
    for value in (
        b"close", b"Close", b"keep-alive, close", b"x, close", b"TE, close", b"", b",", b", x,,",
    ):  # fmt: skip
        yield Case(
            f"9110-7.6.1 connection {value!r}",
            request(b"GET / HTTP/1.1", b"Connection: " + value),
            (200,),
        )


def cases() -> list[Case]:
    """All of them."""
    tables = (
        field_values, field_names, lines, request_lines, targets, lengths, codings, trailers,
        expectations, hosts, connections,
    )  # fmt: skip
    return [case for table in tables for case in table()]
