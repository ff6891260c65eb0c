"""Durable tasks and schedules over three nodes: who runs them, what is known of them where, what is
left when nodes are killed, and what a minority says. The rules themselves are EUnit's
hornbeam_task_part_tests and PropEr's prop_hornbeam_task_part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import wait_until

from cluster.nodes import Cluster, Node
from hornbeam_worker import values

ADD = "tasks_app:add"
HERE = "tasks_app:append_here"
NUMBER = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[list[Node]]:
    schedules = [f"s{n}=tasks_app:note_tick;every=1s;missed=all" for n in range(5)]
    with Cluster(
        "tasks_app:app", folder, env={"TICKS": str(folder / "ticks")}, workers=1,
        schedule=schedules, task_queue=["serial=1"], graceful_timeout=5000,
    ) as cluster:  # fmt: skip
        for node in cluster.nodes:
            is_there(node)
        yield cluster.nodes


def is_there(node: Node) -> None:
    wait_until(lambda: told(node, "spawn", ADD, 1, 1, durable=True)[0] == "ok", 60, node.name)


def told(node: Node, name: str, *arguments: Any, **keywords: Any) -> list[Any]:
    content = values.pack([name, list(arguments), keywords])
    try:
        answer: list[Any] = values.unpack(httpx.post(node.url, content=content, timeout=60).content)
    except httpx.HTTPError as error:
        return ["lost", str(error)]
    return answer


def ask(node: Node, name: str, *arguments: Any, **keywords: Any) -> Any:
    answer = told(node, name, *arguments, **keywords)
    assert answer[0] == "ok", answer
    return answer[1]


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_a_task_is_known_on_every_node(nodes: list[Node]) -> None:
    a, b, c = nodes
    task = ask(a, "spawn", ADD, 2, 3, durable=True)
    assert ask(b, "await_task", task, timeout=30) == 5
    assert [ask(node, "task_result", task) for node in nodes] == [5, 5, 5]
    info = ask(c, "task_info", task)
    assert (info["state"], info["durable"], info["attempts"]) == ("done", True, 1)
    assert info["created"] <= info["started"] <= info["finished"]
    assert ask(b, "task_arguments", task) == ([2, 3], {})

    waiting = ask(a, "spawn", ADD, 1, 1, durable=True, delay=600, unique="once", queue="later")
    assert ask(b, "spawn", ADD, 1, 1, durable=True, unique="once") == waiting
    wait_until(lambda: ask(c, "list_tasks", queue="later") != [], 10, "it is listed")
    assert [info["id"] for info in ask(c, "list_tasks", "pending", "later")] == [waiting]
    assert ask(b, "cancel_task", waiting) is True
    assert ask(a, "cancel_task", waiting) is False
    assert ask(c, "task_status", waiting) == "cancelled"
    assert ask(c, "spawn", ADD, 1, 1, durable=True, unique="once") != waiting

    dead = ask(a, "spawn", "tasks_app:fail", "no", durable=True, retries=1, backoff=0)
    assert told(b, "await_task", dead, timeout=30)[:2] == ["error", "TaskFailedError"]
    assert ask(c, "task_info", dead)["attempts"] == 2
    assert ask(c, "retry_task", dead) is True
    assert told(a, "await_task", dead, timeout=30)[1] == "TaskFailedError"
    assert told(a, "task_info", "0" * 30)[1] == "TaskNotFoundError"
    # What is not durable is the node's.
    assert told(b, "task_info", ask(a, "spawn", ADD, 1, 1))[1] == "TaskNotFoundError"


def test_one_that_runs_is_seen_and_cancelled_from_elsewhere(
    nodes: list[Node], tmp_path: Path
) -> None:
    task = ask(nodes[0], "spawn", "tasks_app:hang", str(tmp_path / "hang"), durable=True)
    wait_until(lambda: lines(tmp_path / "hang") != [], 20, "it has begun")
    assert {ask(node, "task_status", task) for node in nodes} == {"running"}
    assert ask(nodes[1], "cancel_task", task) is True
    wait_until(lambda: lines(tmp_path / "hang") == [["begun"], ["cancelled"]], 20, "it is told")
    report = ask(nodes[2], "spawn", "tasks_app:report", 3, durable=True)
    assert ask(nodes[0], "await_task", report) == "reported"
    assert ask(nodes[1], "task_info", report)["progress"] == {"step": 3, "of": 3}


def test_none_is_lost_when_a_node_is_killed(nodes: list[Node], tmp_path: Path) -> None:
    path = tmp_path / "lines"
    a, c = nodes[0], nodes[2]
    tasks = []
    for number in range(NUMBER):
        serial = number % 10 == 0
        keywords = {"queue": "serial" if serial else "default", "unique": f"n{number}"}
        arguments = (HERE, str(path), str(number), 0.02 if serial else 0.3)
        tasks.append(ask(nodes[number % 2], "spawn", *arguments, durable=True, **keywords))

    def running() -> set[str]:
        on_c = [line for line in lines(path) if line[1] == c.name]
        begun, done = ({line[0] for line in on_c if line[2] == what} for what in ("begun", "done"))
        return begun - done

    wait_until(lambda: len(running()) > 2, 30, "it has some")
    c.kill()
    lost = running()
    for task in tasks:
        assert ask(a, "await_task", task, timeout=60) in {node.name for node in nodes}
    c.start()
    done = [line for line in lines(path) if line[2] == "done"]
    counts = Counter(int(line[0]) for line in done)
    assert set(counts) == set(range(NUMBER))
    begun = Counter(line[0] for line in lines(path) if line[2] == "begun")
    again = {number for number, times in begun.items() if times > 1}
    print(f"{NUMBER} tasks, one kill, {len(lost)} ran then, {len(again)} ran again")
    # What has ended, and what the cluster had not heard of yet, runs again as well.
    assert lost <= again
    assert len(again) <= 30
    order = [int(line[0]) for line in done if int(line[0]) % 10 == 0]
    assert list(dict.fromkeys(order)) == sorted(set(order))
    is_there(c)


def test_what_a_node_ran_that_stood_still_is_given_up(nodes: list[Node], tmp_path: Path) -> None:
    """Another runs it meanwhile; what the first one began is cancelled when it goes on."""
    path = tmp_path / "hang"
    task = ask(nodes[0], "spawn", "tasks_app:hang_here", str(path), durable=True)
    wait_until(lambda: lines(path) != [], 20, "it has begun")
    first = next(node for node in nodes if node.name == lines(path)[0][0])
    other = next(node for node in nodes if node is not first)
    first.pause()
    wait_until(lambda: len(lines(path)) == 2, 40, "another has begun it")
    assert lines(path)[1][0] != first.name
    first.resume()
    wait_until(lambda: [first.name, "cancelled"] in lines(path), 30, "it is given up")
    assert ask(other, "task_status", task) == "running"
    assert ask(other, "task_info", task)["attempts"] == 1
    assert ask(other, "cancel_task", task) is True
    wait_until(lambda: len(lines(path)) == 4, 20, "the other one is told")
    is_there(first)


def test_each_time_of_a_schedule_is_begun_once(nodes: list[Node], folder: Path) -> None:
    """While nodes are killed and started, the one that has begun the last ones among them."""
    ticks = folder / "ticks"

    def more() -> None:
        """Each schedule goes on, by two times or so."""
        enough = len(lines(ticks)) + 10
        wait_until(lambda: len(lines(ticks)) >= enough, 60, "time goes on")

    def gaps() -> list[str]:
        """Of the schedules' times between the first and the last, those that have not run."""
        found = {tuple(line[0].split(":")[1:]) for line in lines(ticks)}
        missing = []
        for name in (f"s{n}" for n in range(5)):
            times = {int(due) for schedule, due in found if schedule == name}
            missing += [
                f"{name}:{t}" for t in range(min(times), max(times), 1000) if t not in times
            ]
        return missing

    for node in nodes:
        more()
        node.kill()
        more()
        node.start()
        is_there(node)
    more()
    # What ran on a node that was killed runs again when its lease is over.
    wait_until(lambda: not gaps(), 30, "all have run")
    counts = Counter(line[0] for line in lines(ticks))
    repeated = sum(counts.values()) - len(counts)
    print(f"{len(counts)} times, three kills, {repeated} ran again")
    assert repeated <= 15
    metrics = httpx.get(f"http://{nodes[0].address}:{nodes[0].cluster.metrics_port}/metrics").text
    assert re.search(r"^hornbeam_cluster_tasks{.*state=\"done\"} [1-9]", metrics, re.M)
    infos = ask(nodes[0], "list_tasks", None, None, 10_000)
    keys = Counter(info["unique"] for info in infos if str(info["unique"]).startswith("schedule:s"))
    assert set(keys.values()) == {1}, "each is one task"


def test_a_minority_refuses(nodes: list[Node], folder: Path) -> None:
    a, b, c = nodes
    task = ask(a, "spawn", ADD, 4, 4, durable=True)
    assert ask(a, "await_task", task) == 8
    b.kill()
    c.kill()
    wait_until(
        lambda: told(a, "spawn", ADD, 1, 1, durable=True)[1] == "NoQuorumError", 30, "refused"
    )
    assert told(a, "task_result", task)[1] == "NoQuorumError"
    assert told(a, "cancel_task", task)[1] == "NoQuorumError"
    assert ask(a, "await_task", ask(a, "spawn", ADD, 1, 1)) == 2, "its own tasks go on"
    ticks = len(lines(folder / "ticks"))
    b.start()
    assert wait_until(lambda: told(a, "task_result", task)[1] == 8, 60, "there is a majority")
    wait_until(lambda: len(lines(folder / "ticks")) > ticks, 30, "schedules go on")
    c.start()
    for node in nodes:
        is_there(node)


def test_all_are_killed(nodes: list[Node], tmp_path: Path) -> None:
    path = tmp_path / "lines"
    a, b, c = nodes
    over = ask(a, "spawn", ADD, 5, 5, durable=True)
    assert ask(b, "await_task", over) == 10
    gone = ask(a, "spawn", ADD, 1, 1, durable=True, delay=600, unique="gone")
    assert ask(b, "cancel_task", gone) is True
    tasks = [
        ask(a, "spawn", HERE, str(path), str(number), 1, durable=True, unique=f"all{number}")
        for number in range(20)
    ]
    wait_until(lambda: lines(path) != [], 30, "some run")
    for node in nodes:
        node.kill()
    a.cluster.start()
    wait_until(lambda: told(c, "task_result", over)[1] == 10, 60, "there is a majority")
    assert ask(b, "task_status", gone) == "cancelled"
    assert ask(b, "spawn", HERE, str(path), "0", 1, durable=True, unique="all0") == tasks[0]
    for task in tasks:
        assert ask(b, "await_task", task, timeout=60) in {node.name for node in nodes}
    done = Counter(line[0] for line in lines(path) if line[2] == "done")
    assert set(done) == {str(number) for number in range(20)}
