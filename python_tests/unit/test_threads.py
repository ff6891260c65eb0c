"""The threads for plain functions: who runs a job, how many there are, when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hornbeam_worker import threads
from hornbeam_worker.threads import Threads

PATIENCE = 10.0


class Gate:
    """Jobs that run until they are let go; what has begun is counted."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()
        self.names: list[str] = []

    def job(self) -> None:
        self.names.append(threading.current_thread().name)
        self.begun.release()
        self.released.wait(PATIENCE)

    def await_begun(self, number: int) -> None:
        for _ in range(number):
            assert self.begun.acquire(timeout=PATIENCE)


def done(pool: Threads) -> Callable[[], bool]:
    """Runs a job; waits for its end when called."""
    event = threading.Event()
    pool.run(event.set)
    return lambda: event.wait(PATIENCE)


def callers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "hornbeam-call"}


def test_no_job_waits_for_another_below_the_limit() -> None:
    pool, gate = Threads(3), Gate()
    for _ in range(3):
        pool.run(gate.job)
    gate.await_begun(3)
    gate.released.set()


def test_what_is_more_than_the_limit_waits_and_runs() -> None:
    pool, gate = Threads(2), Gate()
    for _ in range(2):
        pool.run(gate.job)
    gate.await_begun(2)
    third = threading.Event()
    pool.run(third.set)
    assert not third.is_set()
    gate.released.set()
    assert third.wait(PATIENCE)


def test_an_idle_thread_takes_the_next_job() -> None:
    before = callers()
    pool = Threads(8)
    for _ in range(50):
        assert done(pool)()
    # A thread that has said that it is done may not be idle yet.
    assert len(callers() - before) <= 2


def test_every_job_runs_once_whoever_gives_it() -> None:
    pool, ran, lock = Threads(4), [0], threading.Lock()
    over = threading.Event()

    def job() -> None:
        with lock:
            ran[0] += 1
            if ran[0] == 4000:
                over.set()

    def give() -> None:
        for _ in range(500):
            pool.run(job)

    givers = [threading.Thread(target=give) for _ in range(8)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert over.wait(PATIENCE)
    assert ran[0] == 4000


def test_idle_threads_end_and_others_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.01)
    before = callers()
    pool = Threads(1)
    for _ in range(30):  # some come when the thread is just about to end
        assert done(pool)()
        for thread in callers() - before:
            thread.join(0.011)
    for thread in callers() - before:
        thread.join(PATIENCE)
    assert not callers() - before
    assert done(pool)()


def test_nothing_of_a_job_is_kept_by_an_idle_thread() -> None:
    import gc
    import weakref

    class Thing:
        def run(self) -> None:
            ran.set()

    pool, ran = Threads(1), threading.Event()
    thing = Thing()
    gone = weakref.ref(thing)
    pool.run(thing.run)
    del thing
    assert ran.wait(PATIENCE)
    assert done(pool)()  # the one thread is behind the first job
    gc.collect()
    assert gone() is None
