"""HTTP/1's parsers beside h11 and httptools: every difference is one that is listed here.

Streams of requests, most of them well-formed, are generated, changed at random, and read by all
three. Where ours and another differ first, a rule of DIFFERENCES must explain it: what in those
bytes the difference is about, and which sentence of the RFCs decides it (in our favour, or leaves
both free). A difference that no rule explains fails, and so does a rule whose own example is no
difference any more.

Requests that are not taken may be refused at once or when more has come; that is no difference.
HORNBEAM_EXAMPLES sets how many streams there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from http1_peers import Body, End, Event, Head, Hornbeam1, Seen, read_h11, read_httptools
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("HORNBEAM_EXAMPLES", "1500"))
PEERS = {"h11": read_h11, "httptools": read_httptools}
BOTH = ("h11", "httptools")


@pytest.fixture(scope="module")
def hornbeam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam1]:
    reader = Hornbeam1(tmp_path_factory.mktemp("ebin"))
    yield reader
    reader.close()


# What differs


class Difference(NamedTuple):
    """The first event that differs, its bytes, and those of its request, with all that follows."""

    peer: str
    ours: Event
    theirs: Event
    text: bytes
    request: bytes

    @property
    def head(self) -> bytes:
        """The request's head, with the empty line."""
        head = re.match(rb"[\r\n]*.*?\n\r?\n|.*", self.request, re.DOTALL)
        return head[0] if head else b""

    @property
    def in_body(self) -> bool:
        """It is behind a head on which both agree."""
        return isinstance(self.ours, Body | End) and isinstance(self.theirs, Body | End)

    @property
    def part(self) -> bytes:
        """The bytes that matter: a head, or what follows one."""
        return self.text if self.in_body else self.head

    def line(self, pattern: bytes) -> bool:
        """Whether the request line is like that."""
        return (
            re.fullmatch(pattern, re.split(rb"\r?\n", self.head.lstrip())[0], re.DOTALL) is not None
        )

    def field(self, name: bytes) -> list[bytes]:
        """The values of a field in lower case, without the spaces around them."""
        found = re.findall(rb"(?im)^" + name + rb":([^\r\n]*)\r?$", self.head)
        return [value.strip(b" \t").lower() for value in found]


def first_difference(peer: str, ours: Seen, theirs: Seen, stream: bytes) -> Difference | None:
    last, next_ones = 0, (End("close"), End("switch"))
    for offset, our, their in zip(ours.offsets, ours.events, theirs.events, strict=False):
        if our == their:
            last = offset if isinstance(our, Head) else last
            continue
        kinds = [event.kind for event in (our, their) if isinstance(event, End)]
        if len(kinds) == 2 and set(kinds) <= {"refused", "more"}:
            return None
        # Whether there is a next one, or how a body ends, is a matter of the request before.
        about_last = our in next_ones or their in next_ones or Body in (type(our), type(their))
        return Difference(
            peer, our, their, stream[offset:], stream[last if about_last else offset :]
        )
    return None


# Why


class Rule(NamedTuple):
    """A difference that there may be: with whom, what it is about, what decides it, an example."""

    name: str
    section: str
    peers: tuple[str, ...]
    applies: Callable[[Difference], bool]
    example: bytes


def refused(status: int, pattern: Callable[[Difference], bool]) -> Callable[[Difference], bool]:
    """We refuse with this status, the other does not."""
    return lambda d: d.ours == End("refused", status) and pattern(d)


def taken(pattern: Callable[[Difference], bool]) -> Callable[[Difference], bool]:
    """We take it, the other does not."""
    return lambda d: isinstance(d.theirs, End) and not isinstance(d.ours, End) and pattern(d)


CODING = rb"transfer-encoding"
LENGTH = rb"content-length"
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HOST = rb"([!$&-,;=\-._~%0-9A-Za-z]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?"
METHODS = (
    b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"PROPFIND", b"CONNECT",
    b"TRACE",
)  # fmt: skip
CTL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a\r\n") -> bytes:
    """A request without a body."""
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(body: bytes) -> bytes:
    """A request with a chunked body."""
    return get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1") + body


DIFFERENCES = [
    # Refused by us
    Rule(
        "a control character in a value",
        "9110, 5.5: CR, LF and NUL are to be refused or replaced; other control characters are "
        "invalid, and a recipient may keep them only where that is safe",
        ("h11",),
        refused(400, lambda d: re.search(rb":[^\r\n]*" + CTL, d.head) is not None),
        get(b"X: a\x01b"),
    ),
    Rule(
        "a fragment in the target",
        "9112, 3.2: a request-target has no fragment; 3: an invalid request line should be 400",
        BOTH,
        refused(400, lambda d: d.line(rb"\S+ [^ ]*#.*")),
        get(line=b"GET /a#b HTTP/1.1"),
    ),
    Rule(
        "LF alone ends a line",
        "9112, 2.2: a recipient may take it for a line's end; it need not",
        ("h11",),
        refused(400, lambda d: re.search(rb"(?<!\r)\n", d.part) is not None),
        get(b"X: a\nY: b"),
    ),
    Rule(
        "CR or LF alone before the request line",
        "9112, 2.2: an empty line is CRLF",
        ("httptools",),
        refused(400, lambda d: re.match(rb"(\r\n)*(\r(?!\n)|\n)", d.text) is not None),
        b"\r" + get(),
    ),
    Rule(
        "a folded line",
        "9112, 5.2: refuse it with 400 or replace it by spaces",
        ("h11",),
        refused(400, lambda d: re.search(rb"\n[ \t]", d.part) is not None),
        get(b"X: a", b" b"),
    ),
    Rule(
        "no version",
        "9112, 2.3 and 3: a version is a part of the request line",
        ("httptools",),
        refused(400, lambda d: isinstance(d.theirs, Head) and d.theirs.version == "0.9"),
        get(line=b"GET /"),
    ),
    Rule(
        "another version",
        "9110, 15.6.6: 505 for a version that is not supported",
        BOTH,
        refused(505, lambda d: d.line(rb"\S+ \S+ HTTP/[02-9]\.[0-9]")),
        get(line=b"GET / HTTP/2.0"),
    ),
    Rule(
        "a higher minor version",
        "9110, 2.5: it is taken for the highest known; h11 shows it, httptools refuses it",
        BOTH,
        lambda d: isinstance(d.ours, Head) and d.line(rb"\S+ \S+ HTTP/1\.[2-9]"),
        get(line=b"GET / HTTP/1.2"),
    ),
    Rule(
        "a length that is a list or is repeated",
        "9110, 8.6: refuse it, or take one of values that are the same",
        ("h11",),
        refused(400, lambda d: len(d.field(LENGTH)) > 1 or b"," in b"".join(d.field(LENGTH))),
        get(b"Content-Length: 5, 5") + b"hello",
    ),
    Rule(
        "a length and a coding",
        "9112, 6.1: a server may refuse it; 6.3: it ought to be handled as an error",
        ("h11",),
        refused(400, lambda d: bool(d.field(LENGTH) and d.field(CODING))),
        get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Rule(
        "a length of more than 18 digits",
        "9110, 8.6: a recipient must expect large numbers and prevent overflow",
        BOTH,
        refused(400, lambda d: any(len(value) > 18 for value in d.field(LENGTH))),
        get(b"Content-Length: 0000000000000000005") + b"hello",
    ),
    Rule(
        "a coding before chunked",
        "9112, 6.1: a coding that is not understood should be 501",
        ("httptools",),
        refused(501, lambda d: re.search(rb",\s*chunked$", b",".join(d.field(CODING))) is not None),
        get(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    ),
    Rule(
        "a coding that does not end in chunked",
        "9112, 6.3: the length cannot be told, the server must answer with 400",
        ("httptools",),
        refused(400, lambda d: any(value != b"chunked" for value in d.field(CODING))),
        get(b"Transfer-Encoding: gzip"),
    ),
    Rule(
        "codings in several lines",
        "9112, 6.1 and 6.3: refused either way, by the first line that does not end in chunked",
        ("httptools",),
        refused(400, lambda d: len(d.field(CODING)) > 1),
        get(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Rule(
        "a coding in HTTP/1.0",
        "9112, 6.1: the framing is faulty; the connection must not go on",
        BOTH,
        refused(400, lambda d: bool(d.field(CODING)) and d.line(rb".* HTTP/1\.0")),
        get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") + b"0\r\n\r\n",
    ),
    Rule(
        "no host, or two",
        "9112, 3.2: a server must answer with 400",
        ("httptools",),
        refused(400, lambda d: len(d.field(b"host")) != 1),
        get(host=b""),
    ),
    Rule(
        "a host that is none",
        "9112, 3.2: a Host field with an invalid value must be 400; 9110, 4.2.4: userinfo",
        BOTH,
        refused(400, lambda d: any(v and not re.fullmatch(HOST, v) for v in d.field(b"host"))),
        get(host=b"Host: a b\r\n"),
    ),
    Rule(
        "a target in no form, or in one that is not this method's",
        "9112, 3.2.1 to 3.2.4: origin, absolute (http and https, with a host), and * for OPTIONS",
        BOTH,
        refused(
            400,
            lambda d: (
                not d.line(rb"\S+ (/|https?://" + HOST + rb"([/?]|(?= ))).*")
                and not d.line(rb"OPTIONS \* .*")
            ),
        ),
        get(line=b"GET * HTTP/1.1"),
    ),
    Rule(
        "an absolute target of another host than the Host field's",
        "9112, 3.2: a client must send what the target has; which of the two counts is not for a "
        "server behind others to guess",
        BOTH,
        refused(400, lambda d: d.line(rb"\S+ https?://.*")),
        get(line=b"GET http://b/ HTTP/1.1"),
    ),
    Rule(
        "CONNECT and TRACE",
        "9110, 15.6.2: 501 for a method that is not implemented",
        BOTH,
        refused(501, lambda d: d.line(rb"(CONNECT|TRACE) .*")),
        get(line=b"TRACE / HTTP/1.1"),
    ),
    Rule(
        "an expectation that is none",
        "9110, 10.1.1: 417",
        BOTH,
        refused(417, lambda d: any(value != b"100-continue" for value in d.field(b"expect"))),
        get(b"Expect: x"),
    ),
    Rule(
        "a connection option that is no token",
        "9110, 7.6.1: a list of tokens",
        BOTH,
        refused(
            400,
            lambda d: any(
                option.strip(b" \t") and not re.fullmatch(TOKEN, option.strip(b" \t"))
                for value in d.field(b"connection")
                for option in value.split(b",")
            ),
        ),
        get(b"Connection: a b"),
    ),
    Rule(
        "more than one space in the request line",
        "9112, 3: a single one; a recipient may be lenient and need not",
        ("httptools",),
        refused(400, lambda d: d.line(rb"\S+  +.*|\S+ \S+  +.*")),
        get(line=b"GET  / HTTP/1.1"),
    ),
    Rule(
        "a chunk's size that has more than 16 digits",
        "9112, 7.1: a recipient must expect large numbers and prevent overflow",
        BOTH,
        refused(400, lambda d: re.search(rb"(^|\n)[0-9A-Fa-f]{17,}", d.text) is not None),
        post(b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ),
    Rule(
        "space after a chunk's size",
        "9112, 7.1: only an extension may have it before it (7.1.1)",
        ("h11",),
        refused(400, lambda d: re.search(rb"(?m)^[0-9A-Fa-f]+[ \t]+\r$", d.text) is not None),
        post(b"5 \r\nhello\r\n0\r\n\r\n"),
    ),
    Rule(
        "a control character in a chunk's extension or a trailer",
        "9112, 7.1.1 and 7.1.2: tokens, quoted strings, fields",
        ("h11",),
        refused(400, lambda d: d.in_body and re.search(CTL, d.text) is not None),
        post(b"0\r\nX: \x01\r\n\r\n"),
    ),
    Rule(
        "CR in a chunk's extension or a trailer",
        "9112, 2.2: a CR without LF is an error, or a space",
        ("h11",),
        refused(400, lambda d: d.in_body and re.search(rb"\r(?!\n)", d.text) is not None),
        post(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ),
    # Taken by us
    Rule(
        "bytes above 127 in the target",
        "the URL standard of the WHATWG: what browsers have sent, percent-encoded or not; "
        "9112, 3: a recipient should (it need not) refuse an invalid request line",
        BOTH,
        taken(lambda d: d.line(rb"\S+ \S*[\x80-\xff].*")),
        get(line=b"GET /\xc3\xa4 HTTP/1.1"),
    ),
    Rule(
        "empty lines before the request line",
        "9112, 2.2: a server should ignore at least one",
        ("h11",),
        taken(lambda d: d.text.startswith(b"\r\n")),
        b"\r\n" + get(),
    ),
    Rule(
        "a method that is not in a list",
        "9110, 9.1: any token; 16.1.1: others are registered",
        ("httptools",),
        taken(lambda d: isinstance(d.ours, Head) and d.ours.method not in METHODS),
        get(line=b"X-A / HTTP/1.1"),
    ),
    Rule(
        "space before a chunk's extension",
        "9112, 7.1.1: there may be bad whitespace; 9110, 5.6.3: a recipient must parse it",
        BOTH,
        taken(lambda d: d.in_body and re.search(rb"[0-9A-Fa-f][ \t]+;", d.text) is not None),
        post(b"5 ;a\r\nhello\r\n0\r\n\r\n"),
    ),
    Rule(
        "what a chunk's extension holds",
        "9112, 7.1.1: a recipient must ignore extensions that it does not know",
        ("httptools",),
        taken(lambda d: d.in_body and re.search(rb"[0-9A-Fa-f];", d.text) is not None),
        post(b"5;\xff\r\nhello\r\n0\r\n\r\n"),
    ),
    Rule(
        "HTTP/1.0 goes on where it is asked to",
        "9112, 9.3: with keep-alive, and if the server wishes to",
        ("h11",),
        lambda d: d.theirs == End("close") and b"keep-alive" in b"".join(d.field(b"connection")),
        get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"),
    ),
    Rule(
        "close and keep-alive",
        "9112, 9.3: close wins",
        ("httptools",),
        lambda d: d.ours == End("close") and len(d.field(b"connection")) > 1,
        get(b"Connection: close", b"Connection: keep-alive", line=b"GET / HTTP/1.0"),
    ),
    Rule(
        "an offer to change the protocol",
        "9110, 7.8: a server may ignore it",
        ("httptools",),
        lambda d: bool(d.field(b"upgrade")) and d.theirs in (End("switch"), Body(b"")),
        get(b"Connection: upgrade", b"Upgrade: x"),
    ),
]


# The examples


EOLS = st.sampled_from([b"\r\n"] * 196 + [b"\n", b"\r", b"\r\r\n", b""])


def mostly(usual: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of the usual ones, nineteen times of twenty."""
    return st.sampled_from(usual * (1 + 19 * len(odd) // len(usual)) + odd)


TARGETS = mostly(
    [b"/", b"/a/b", b"/a?b=c", b"/%20?%41", b"/?", b"//a"],
    [
        b"/a|b{c}\"^`\\<>", b"/\xc3\xa4", b"/?\xff", b"/#a", b"/a?b#c", b"*", b"a", b"", b"/a b",
        b"http://a/b?c", b"http://a", b"http://a?b", b"HTTPS://A/", b"http://b/", b"ftp://a/",
        b"http://u@a/", b"http:///a", b"a:80", b"/\x00", b"/\x7f", b"/\t", b"http://a:80/",
    ],
)  # fmt: skip
VERSIONS = mostly(
    [b"HTTP/1.1"] * 6 + [b"HTTP/1.0"],
    [
        b"HTTP/1.2",
        b"HTTP/1.9",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"http/1.1",
        b"HTTP/1",
        b"HTTP/11",
        b"HTTP/1.1 ",
        b"",
    ],
)
METHOD = mostly(
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"],
    [b"CONNECT", b"TRACE", b"get", b"PROPFIND", b"X-!#$%&'*+.^_`|~9", b"G(T", b"", b"G\xc3T"],
)
VALUES = mostly(
    [b" a", b"a", b" a, b", b"\ta\t", b"", b' a;b="c d"', b" \xc3\xa4"],
    [b" a\x00b", b" \x01", b" a\x0bb", b" a\x7f", b" a\rb", b" a\nb", b" a\r\n b", b" a\r\n\tb"],
)
NAMES = mostly(
    [b"X-A", b"x-b", b"Cookie", b"Accept", b"User-Agent"],
    [b"X A", b"X-A ", b"X-A\t", b" X-A", b"", b"X(A", b"X\xc3", b"x!#$%&'*+.^_`|~9", b"X\x00"],
)
SPECIAL = st.sampled_from(
    [
        b"Connection: close", b"Connection: keep-alive", b"Connection: ", b"Connection: a,,b",
        b"Connection: a b", b"Connection: @", b"Connection: Upgrade\r\nUpgrade: x",
        b"Connection: close\r\nConnection: keep-alive", b"Upgrade: x",
        b"Expect: 100-continue", b"Expect: x", b"TE: trailers",
        b"Host: a", b"Host: b", b"Host: ", b"Content-Length: 0", b"Content-Length: 1",
        b"Content-Length: +1", b"Content-Length: 1, 1", b"Content-Length: 01",
        b"Content-Length: 1 1", b"Content-Length: ", b"Content-Length: 9999999999999999999",
        b"Content-Length: 0000000000000000000001", b"Content-Length: 0x1",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: identity",
        b"Transfer-Encoding: ", b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked;a=b",
    ]
)  # fmt: skip
HOSTS = mostly(
    [b"Host: a"],
    [
        b"",
        b"Host: a\r\nHost: a",
        b"Host: a b",
        b"Host: u@a",
        b"Host: ",
        b"host:A:80",
        b"Host: [::1]",
    ],
)
EXTENSIONS = mostly(
    [b""],
    [
        b";a", b";a=b", b';a="b;c"', b" ;a", b"\t; a = b", b";", b";;", b" ", b";\x00", b";a\rb",
        b";\xff", b';a="', b"\n",
    ],
)  # fmt: skip
SIZES = mostly(
    [b"%x", b"%X", b"0%x", b"000%x"],
    [b"+%x", b"-%x", b"0x%x", b" %x", b"%xg", b"00000000000000000%x", b"", b"%x%x%x%x%x%x%x%x%x"],
)
TRAILERS = mostly(
    [b"", b"", b"X: a\r\n"],
    [b"X: a\r\n b\r\n", b"X : a\r\n", b": a\r\n", b"X\r\n", b"X: \x01\r\n", b"X: a\n",
     b"X: a\rb\r\n"],
)  # fmt: skip


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    """A chunked body."""
    body = b""
    for data in draw(
        st.lists(st.sampled_from([b"a", b"hello", b"\r\n", b"0\r\n\r\n"]), max_size=3)
    ):
        size = draw(SIZES)
        size = size.replace(b"%x", b"%x" % len(data)).replace(b"%X", b"%X" % len(data))
        body += size + draw(EXTENSIONS) + draw(EOLS) + data + draw(EOLS)
    return body + b"0" + draw(EXTENSIONS) + draw(EOLS) + draw(TRAILERS) + draw(EOLS)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request."""
    space = mostly([b" "], [b"  ", b"\t", b""])
    line = draw(METHOD) + draw(space) + draw(TARGETS) + draw(space) + draw(VERSIONS)
    fields = [draw(HOSTS)]
    fields += [b":".join([draw(NAMES), draw(VALUES)]) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.integers(0, 3)) == 0:
        fields.append(draw(SPECIAL))
    body = b""
    match draw(st.integers(0, 5)):
        case 0:
            body = draw(st.sampled_from([b"", b"a", b"hello", b"0\r\n\r\n"]))
            fields.append(b"Content-Length: %d" % len(body))
        case 1:
            fields.append(b"Transfer-Encoding: chunked")
            body = draw(chunks())
    if draw(st.booleans()):
        fields.reverse()
    before = draw(mostly([b""], [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" "]))
    head = line + draw(EOLS) + b"".join(field + draw(EOLS) for field in fields if field)
    return before + head + draw(EOLS) + body


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Requests in a row, with up to two changes anywhere."""
    stream = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(stream)))
        new = draw(
            st.sampled_from([b"", b"\r", b"\n", b" ", b":", b"0", b",", b";", b"\x00", b"\xff"])
        )
        stream = stream[:at] + new + stream[at + draw(st.integers(0, 2)) :]
    return stream


def explained(difference: Difference) -> list[str]:
    """The rules that explain it."""
    return [
        rule.name
        for rule in DIFFERENCES
        if difference.peer in rule.peers and rule.applies(difference)
    ]


@pytest.mark.parametrize("rule", DIFFERENCES, ids=[rule.name for rule in DIFFERENCES])
def test_what_is_listed_is_a_difference(hornbeam: Hornbeam1, rule: Rule) -> None:
    for peer in rule.peers:
        theirs = PEERS[peer](rule.example)
        difference = first_difference(peer, hornbeam.read(rule.example), theirs, rule.example)
        assert difference is not None, f"{peer} agrees: {theirs.events}"
        assert rule.name in explained(difference), difference


@pytest.mark.parametrize(
    "stream",
    [
        get() + get(b"X-A: \t b ", b"Cookie: a=1", b"X-A: c", b"Cookie: b=2") + get(),
        get(line=b"GET /a%20b/|{}?q=a|b{c}&&=%41 HTTP/1.1"),
        get(line=b"OPTIONS * HTTP/1.1") + get(line=b"GET http://a/b?c HTTP/1.1"),
        get(b"Content-Length: 5", line=b"PUT / HTTP/1.1") + b"hello" + get(),
        post(b"5;a=b\r\nhello\r\n0A\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\n") + get(),
        get(b"Connection: close") + get(),
        get(line=b"GET / HTTP/1.0", host=b"") + get(),
    ],
)
def test_what_all_read_alike(hornbeam: Hornbeam1, stream: bytes) -> None:
    ours = hornbeam.read(stream).events
    assert any(isinstance(event, Body) for event in ours)
    assert ours == read_h11(stream).events == read_httptools(stream).events


def test_every_difference_is_listed(hornbeam: Hornbeam1) -> None:
    alike = 0

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        database=None,
        derandomize="HORNBEAM_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(streams())
    def differences(stream: bytes) -> None:
        nonlocal alike
        ours = hornbeam.read(stream)
        for peer, read in PEERS.items():
            difference = first_difference(peer, ours, read(stream), stream)
            if difference is not None:
                assert explained(difference), f"{difference}\nin {stream!r}"
            elif isinstance(ours.events[0], Head):
                alike += 1

    differences()
    assert alike > EXAMPLES / 3, "most of the streams must be requests to all"
