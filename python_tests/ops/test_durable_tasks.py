"""Durable tasks survive what ends everything: kill -9 of the VM and all workers at random points, a
disk that is full, a log that is damaged.

CRASH_TASKS says how many tasks (`make crash-tasks`: 10,000); a kill for each 250 of them.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, StartError, wait_until

from hornbeam_worker import values
from ops.machine import fill, small_disk

NUMBER = int(os.environ.get("CRASH_TASKS", "500"))
BATCH = 25
ADD = "tasks_app:add"


def ask(url: str, path: str, name: str, *arguments: Any, **keywords: Any) -> Any:
    content = values.pack([name, list(arguments), keywords])
    answer = values.unpack(httpx.post(url + path, content=content, timeout=60).content)
    assert answer[0] == "ok", answer
    return answer[1]


def server(folder: Path) -> Hornbeam:
    return Hornbeam(
        "tasks_app:app", data_dir=folder / "data", task_workers=1, task_queue=["serial=1"]
    )


class Spawner(threading.Thread):
    """Spawns all tasks, a batch again where nobody answered for it, while servers come and go."""

    def __init__(self, lines: Path) -> None:
        super().__init__(daemon=True)
        self.lines = lines
        self.url = ""
        self.acknowledged: list[int] = []

    def run(self) -> None:
        for first in range(0, NUMBER, BATCH):
            while True:
                try:
                    arguments = (first, min(first + BATCH, NUMBER), str(self.lines))
                    self.acknowledged += ask(self.url, "/here", "spawn_range", *arguments)
                    break
                except httpx.HTTPError:
                    time.sleep(0.05)  # a kill has come; the next server is on its way


def test_none_is_lost_and_none_runs_less_than_once(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.touch()
    spawner = Spawner(lines)
    running = server(tmp_path).start()
    spawner.url = running.url
    dead = ask(running.url, "/", "spawn", "tasks_app:fail", "for ever", durable=True)
    wait_until(lambda: _state(running, dead) == "failed", 10, "it has failed")
    spawner.start()
    try:
        for kill in range(1, max(2, NUMBER // 250) + 1):
            enough = random.uniform(kill - 1, kill) * min(200, NUMBER / 3)
            wait_until(lambda n=enough: len(_numbers(lines)) >= n, 120, "so many have run")  # type: ignore[misc]
            running.kill()
            running = server(tmp_path).start()
            spawner.url = running.url
        spawner.join(300)
        assert sorted(spawner.acknowledged) == list(range(NUMBER))
        wait_until(lambda: len(set(_numbers(lines))) == NUMBER, 300, "all have run")
        info = ask(running.url, "/", "task_info", dead)
        assert (info["state"], info["error"][0]) == ("failed", "ValueError")
        assert "tasks_app.py" in info["error"][2]
        status = running.stop()
    finally:
        running.kill()
    assert status == 0
    counts = Counter(_numbers(lines))
    assert set(counts) == set(range(NUMBER))
    # What ran and was not on disk as done when everything ended: a few for each kill.
    repeats = sum(counts.values()) - NUMBER
    print(f"{NUMBER} tasks, {max(2, NUMBER // 250)} kills, {repeats} of them ran again")
    serial = list(dict.fromkeys(number for number in _numbers(lines) if number % 2 == 0))
    batches = [number // BATCH for number in serial]
    assert batches == sorted(batches), "a queue that runs one at a time keeps its order"


def _state(running: Hornbeam, task: str) -> str:
    return str(ask(running.url, "/", "task_status", task))


def _numbers(lines: Path) -> list[int]:
    return [int(line) for line in lines.read_text().split()]


def test_a_full_disk_refuses_and_forgets_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with small_disk(tmp_path):
        with Hornbeam("tasks_app:app", data_dir=data) as running:
            kept = ask(running.url, "/", "spawn", ADD, 1, 2, durable=True, delay=600)
            ballast = fill(tmp_path)
            options = {"durable": True}
            content = values.pack(["spawn", ["tasks_app:fail", "x" * 20_000], options])
            refused = values.unpack(httpx.post(running.url, content=content, timeout=60).content)
            assert refused[:2] == ["error", "TaskRefusedError"]
            assert "no space left on device" in refused[2]
            other = ask(running.url, "/", "spawn", ADD, 1, 1)
            assert ask(running.url, "/", "await_task", other) == 2
            ballast.unlink()
            later = ask(running.url, "/", "spawn", ADD, 2, 2, durable=True)
            assert ask(running.url, "/", "await_task", later) == 4
        assert "durable tasks cannot be written" in running.output
        with Hornbeam("tasks_app:app", data_dir=data) as again:
            assert _state(again, kept) == "pending"
            assert ask(again.url, "/", "task_result", later) == 4
            with pytest.raises(StartError, match="another server uses it"):
                Hornbeam("tasks_app:app", data_dir=data).start()
        (data / "tasks.log").write_bytes(b"what somebody has put there instead" * 10)
        with pytest.raises(StartError, match=r"\(data_dir\) cannot be used: .*is no log of tasks"):
            Hornbeam("tasks_app:app", data_dir=data).start()
