"""Uploads on one connection, larger than what is read ahead: the next request is read, too."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

from harness import Hornbeam

BODY = b"x" * 200_000


def test_a_connection_goes_on_after_every_upload() -> None:
    with Hornbeam("ops_app:app") as server, ThreadPoolExecutor(4) as pool:

        def upload_again_and_again(_number: int) -> set[bytes]:
            connection = http.client.HTTPConnection(*server.address, timeout=20)
            answers = set()
            for _ in range(120):
                connection.request("POST", "/upload", BODY)
                answers.add(connection.getresponse().read())
            connection.close()
            return answers

        # Where a paused socket was forgotten, one in about a thousand uploads was the last.
        assert set().union(*pool.map(upload_again_and_again, range(4))) == {b"200000"}
