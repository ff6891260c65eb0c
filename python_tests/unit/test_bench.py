"""The pure parts of bench/: what load generators print, figures of rounds, the text of a table."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

# Last: bench/ has a module with the name of a package that others import.
sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
from clients import dechunked
from figures import Entry, Trouble, interleave, percentile, ratio, ratios, spread
from load import parse_h2load, parse_log, parse_wrk
from machine import descriptors
from report import Origin, Outcome, page, table
from scenarios import SCENARIOS, select

WRK = """\
Running 1s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
Requests/sec:   3185.40
bench requests=3200 duration=1004000 bytes=412800 connect=0 read=2 write=0 status=1 timeout=0 \
p50=14500 p99=227000 p99.9=231500
"""
H2LOAD = """\
finished in 3.27s, 3128.48 req/s, 403.28KB/s
requests: 10240 total, 10240 started, 10240 done, 10240 succeeded, 0 failed, {errored} errored, \
0 timeout
status codes: 10240 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.29MB (1351680) total, 840.00KB (860160) headers (space savings 0.00%), \
130.00KB (133120) data
                     min         max         mean         sd        +/- sd
time for request:      156us    274.77ms     63.47ms     43.97ms    65.83%
"""


def test_the_line_of_wrk_has_counts_latencies_and_the_errors_that_there_were() -> None:
    found = parse_wrk(WRK)
    assert (found.requests, found.seconds, found.bytes) == (3200, 1.004, 412800)
    assert found.latency == {"p50, ms": 14.5, "p99, ms": 227.0, "p99.9, ms": 231.5}
    assert found.errors == {"read": 2, "status": 1}


@pytest.mark.parametrize("text", ["", "unable to connect", WRK.replace("=3200", "=0")])
def test_wrk_without_figures_or_answers_is_trouble(text: str) -> None:
    with pytest.raises(Trouble, match="wrk"):
        parse_wrk(text)


def test_h2load_tells_answers_and_bytes_of_bodies() -> None:
    assert parse_h2load(H2LOAD.format(errored=0)) == (10240, 133120)


@pytest.mark.parametrize("text", ["", H2LOAD.format(errored=1)])
def test_h2load_with_errors_is_trouble(text: str) -> None:
    with pytest.raises(Trouble, match="h2load"):
        parse_h2load(text)


def test_the_log_of_h2load_has_the_rate_and_the_percentiles() -> None:
    # 1,000 requests, one each millisecond; they take 1 to 1,000 us. Lines in any order; hypercorn's
    # status line has no reason phrase, and h2load no status then.
    lines = [f"{7_000_000 + 1000 * n}\t{200 * (n % 2)}\t{n + 1}\n" for n in reversed(range(1000))]
    found = parse_log(lines)
    assert found.rate == pytest.approx(1000)
    assert found.latency == {"p50, ms": 0.5, "p99, ms": 0.99, "p99.9, ms": 0.999}


@pytest.mark.parametrize("status", [-1, 199, 404, 503])
def test_a_wrong_status_in_the_log_is_trouble(status: int) -> None:
    with pytest.raises(Trouble, match="1 of 3 answers are wrong"):
        parse_log(["1\t200\t5\n", f"2\t{status}\t5\n", "3\t200\t5\n"])


def test_a_percentile_is_a_value_that_so_many_do_not_exceed() -> None:
    assert [percentile([7.0], share) for share in (0.0, 0.5, 1.0)] == [7.0, 7.0, 7.0]
    hundred = [float(n) for n in range(1, 101)]
    assert [percentile(hundred, s) for s in (0.5, 0.99, 0.991, 0.999)] == [50, 99, 100, 100]


def test_rounds_alternate_and_what_is_in_trouble_is_not_asked_again() -> None:
    asked: list[str] = []

    def measure(name: str) -> dict[str, float]:
        asked.append(name)
        if name == "b" and asked.count("b") == 2:
            raise Trouble("closed")
        return {"rate": float(len(asked))}

    entries = [Entry(name) for name in "abc"]
    interleave(entries, 3, measure)
    assert "".join(asked) == "abc" + "cba" + "ac"
    assert [entry.failed for entry in entries] == ["", "closed", ""]
    assert [len(entry.figures["rate"]) for entry in entries] == [3, 1, 3]


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2, 3, 4], [1, 2, 0]) == [2.0, 1.5]
    assert ratio([2, 3, 8], [1, 2, 2]) == "**2.00** (1.50 to 4.00)"
    assert ratio([3], [2]) == "**1.50**"
    assert ratio([3], [0]) == "-"


def test_spread_is_the_median_with_the_least_and_the_largest() -> None:
    assert spread([30000, 10000, 20000]) == "20,000 (10,000 to 30,000)"
    assert spread([99.94]) == "99.9"
    assert spread([0.125, 9.994]) == "5.06 (0.12 to 9.99)"


def outcome() -> Outcome:
    ours = Entry("hornbeam", {"requests/s": [300.0, 330.0], "- of it in the VM": [20.0, 21.0]})
    slow = Entry("slow", {"requests/s": [100.0, 110.0]})
    broken = Entry("broken", {"requests/s": [900.0]}, failed="wrk: 3 read")
    gone = Entry("gone", failed="wrk: 3 read")
    return Outcome("hello-2-64", "raw hello", 2, 64, [ours, slow, broken, gone], ["a note"])


def test_a_table_has_ratios_below_the_peers_figures_and_names_what_failed() -> None:
    assert list(table(outcome())) == [
        "### hello-2-64: raw hello, 2 workers, 64 connections",
        "",
        "| | hornbeam | slow |",
        "| --- | ---: | ---: |",
        "| requests/s | 315 (300 to 330) | 105 (100 to 110)<br>**3.00** (3.00 to 3.00) |",
        "| - of it in the VM | 20.5 (20.0 to 21.0) | - |",
        "",
        "- a note",
        "- broken, gone: wrk: 3 read",
        "",
    ]


def test_a_table_without_our_figures_says_why() -> None:
    ours = Entry("hornbeam", failed="did not listen in 30 s")
    peer = Entry("peer", {"ms": [5.0]})
    assert list(table(Outcome("up", "100 MiB up", 1, 1, [ours, peer])))[2:] == [
        "| | hornbeam | peer |",
        "| --- | ---: | ---: |",
        "| ms | - | 5.00 |",
        "",
        "- hornbeam: did not listen in 30 s",
        "",
    ]


def test_the_page_says_how_to_repeat_it() -> None:
    origin = Origin("make bench", "wrk 4.1.0", "2 cores", "2026-01-31", 5, 2)
    text = page("Title", [outcome()], origin, {"slow": "slow --port 8000"}, ["cpu.svg"])
    for part in (
        "# Title",
        "`make bench`, 2026-01-31; 2 cores; wrk 4.1.0.",
        "up to 5 interleaved rounds of 2 s",
        "![cpu](cpu.svg)",
        "### hello-2-64",
        "- slow: `slow --port 8000`",
    ):
        assert part in text


def test_scenarios_are_chosen_by_key_or_by_its_beginning() -> None:
    assert list(select([])) == list(SCENARIOS)
    assert [one.key for one in select(["up", "hello-1"])] == ["hello-1-64", "hello-1-2048", "up"]
    with pytest.raises(Trouble, match="no scenario 'hell'"):
        list(select(["hell"]))


def test_keys_of_scenarios_are_their_own() -> None:
    assert len({one.key for one in SCENARIOS}) == len(SCENARIOS)


def test_too_low_a_limit_of_open_files_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    with pytest.raises(Trouble, match="open files is 4096, and this needs 4097: ulimit -n 4097"):
        descriptors(4097)
    assert raised == []
    for needed in (4095, 4096):
        descriptors(needed)
    assert raised == [(4096, 4096)] * 2


def test_chunks_are_joined_and_a_cut_body_is_trouble() -> None:
    assert dechunked(b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n") == b"abc0123456789"
    for cut in (b"", b"3\r\nabc\r\n", b"3\r\nabc\r\nA"):
        with pytest.raises(Trouble, match="cut"):
            dechunked(cut)
