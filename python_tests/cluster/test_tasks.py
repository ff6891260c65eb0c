"""Durable tasks and schedules over three nodes: who runs them, what is known of them where, what is
left when nodes are killed or cut off, and what a minority says: the table of docs/tasks.md, "Over
nodes". The rules themselves are EUnit's hornbeam_task_part_tests and PropEr's
prop_hornbeam_task_part. Partitions need root."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import wait_until

from cluster.network import network_if_possible
from cluster.nodes import Cluster, Node
from hornbeam_worker import values

ADD = "tasks_app:add"
HERE = "tasks_app:append_here"
NUMBER = 200
SCHEDULES = 5
# Of a cluster that has lost its leader, or a node that comes back; of one step of a task. Longer
# than either takes on a machine that has much else to do.
WHOLE, STEP = 120.0, 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[list[Node]]:
    schedules = [f"s{n}=tasks_app:note_tick;every=1s;missed=all" for n in range(SCHEDULES)]
    with ExitStack() as stack:
        network = network_if_possible(stack, 3)
        cluster = Cluster(
            "tasks_app:app", folder, network=network, env={"TICKS": str(folder / "ticks")},
            workers=1, schedule=schedules, task_queue=["serial=1"], graceful_timeout=1000,
        )  # fmt: skip
        stack.enter_context(cluster)
        for node in cluster.nodes:
            is_there(node)
        yield cluster.nodes


def is_there(node: Node) -> None:
    ask(node, "spawn", ADD, 1, 1, durable=True)


def once(node: Node, name: str, *arguments: Any, path: str = "/", **keywords: Any) -> list[Any]:
    """What it says when it is asked once."""
    content = values.pack([name, list(arguments), keywords])
    try:
        response = httpx.post(node.url + path, content=content, timeout=2 * WHOLE)
    except httpx.HTTPError as error:
        return ["lost", type(error).__name__, str(error)]
    if response.status_code != 200:
        return ["lost", str(response.status_code), response.text]
    answer: list[Any] = values.unpack(response.content)
    return answer


def told(node: Node, name: str, *arguments: Any, **keywords: Any) -> list[Any]:
    """The first answer that says something. What was refused for want of a majority was not done;
    what is in doubt may be asked again: a task with an effect has a `unique`."""

    def answered() -> list[Any] | None:
        answer = once(node, name, *arguments, **keywords)
        unsaid = answer[0] == "lost" or answer[1] in ("NoQuorumError", "InDoubtError")
        return None if unsaid else answer

    found = wait_until(answered, WHOLE, f"{node.name} answers {name}")
    assert found is not None
    return found


def ask(node: Node, name: str, *arguments: Any, **keywords: Any) -> Any:
    answer = told(node, name, *arguments, **keywords)
    assert answer[0] == "ok", answer
    return answer[1]


def refuses(node: Node, name: str, *arguments: Any, **keywords: Any) -> None:
    """In the end: until it has noticed that it is alone it does not know."""

    def refused() -> bool:
        return bool(once(node, name, *arguments, **keywords)[1] == "NoQuorumError")

    wait_until(refused, WHOLE, f"{node.name} refuses {name}")


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_a_task_is_known_on_every_node(nodes: list[Node]) -> None:
    a, b, c = nodes
    task = ask(a, "spawn", ADD, 2, 3, durable=True)
    assert ask(b, "await_task", task, timeout=STEP) == 5
    assert [ask(node, "task_result", task) for node in nodes] == [5, 5, 5]
    info = ask(c, "task_info", task)
    assert (info["state"], info["durable"], info["attempts"]) == ("done", True, 1)
    assert info["created"] <= info["started"] <= info["finished"]
    assert ask(b, "task_arguments", task) == ([2, 3], {})

    waiting = ask(a, "spawn", ADD, 1, 1, durable=True, delay=600, unique="once", queue="later")
    assert ask(b, "spawn", ADD, 1, 1, durable=True, unique="once") == waiting
    wait_until(lambda: ask(c, "list_tasks", queue="later") != [], STEP, "it is listed")
    assert [info["id"] for info in ask(c, "list_tasks", "pending", "later")] == [waiting]
    assert ask(b, "cancel_task", waiting) is True
    assert ask(a, "cancel_task", waiting) is False
    assert ask(c, "task_status", waiting) == "cancelled"
    assert ask(c, "spawn", ADD, 1, 1, durable=True, unique="once") != waiting

    dead = ask(a, "spawn", "tasks_app:fail", "no", durable=True, retries=1, backoff=0)
    assert told(b, "await_task", dead, timeout=STEP)[:2] == ["error", "TaskFailedError"]
    assert ask(c, "task_info", dead)["attempts"] == 2
    assert ask(c, "retry_task", dead) is True
    assert told(a, "await_task", dead, timeout=STEP)[1] == "TaskFailedError"
    assert told(a, "task_info", "0" * 30)[1] == "TaskNotFoundError"
    # What is not durable is the node's.
    assert told(b, "task_info", ask(a, "spawn", ADD, 1, 1))[1] == "TaskNotFoundError"


def test_one_that_runs_is_seen_and_cancelled_from_elsewhere(
    nodes: list[Node], tmp_path: Path
) -> None:
    task = ask(nodes[0], "spawn", "tasks_app:hang", str(tmp_path / "hang"), durable=True)
    wait_until(lambda: lines(tmp_path / "hang") != [], STEP, "it has begun")
    assert {ask(node, "task_status", task) for node in nodes} == {"running"}
    assert ask(nodes[1], "cancel_task", task) is True
    wait_until(lambda: lines(tmp_path / "hang") == [["begun"], ["cancelled"]], STEP, "it is told")
    report = ask(nodes[2], "spawn", "tasks_app:report", 3, durable=True, delay=0.5)
    events = ask(nodes[0], "events", report, path="/here")
    assert (events[0]["state"], events[-1]["state"]) == ("pending", "done")
    assert ask(nodes[0], "await_task", report) == "reported"
    assert ask(nodes[1], "task_info", report)["progress"] == {"step": 3, "of": 3}


def test_none_is_lost_when_a_node_is_killed(nodes: list[Node], tmp_path: Path) -> None:
    path = tmp_path / "lines"
    a, b, c = nodes
    tasks = []
    for number in range(NUMBER):
        serial = number % 10 == 0
        keywords = {"queue": "serial" if serial else "default", "unique": f"n{number}"}
        arguments = ("tasks_app:append_when_open", str(path), str(number))
        tasks.append(ask(nodes[number % 2], "spawn", *arguments, durable=True, **keywords))

    def running() -> set[str]:
        on_c = [line for line in lines(path) if line[1] == c.name]
        begun, done = ({line[0] for line in on_c if line[2] == what} for what in ("begun", "done"))
        return begun - done

    wait_until(lambda: len(running()) > 2, STEP, "it has some")
    c.kill()
    lost = running()
    Path(f"{path}.open").touch()
    # Each is asked for until there is an answer, and is one task.
    more = [spawned(a, HERE, tmp_path / "more", f"more{n}", f"{n}") for n in range(10)]
    assert more == [spawned(b, HERE, tmp_path / "more", f"more{n}", f"{n}") for n in range(10)]
    for task in [*tasks, *more]:
        assert ask(a, "await_task", task, timeout=STEP) in {node.name for node in nodes}
    c.start()
    done = [line for line in lines(path) if line[2] == "done"]
    counts = Counter(int(line[0]) for line in done)
    assert set(counts) == set(range(NUMBER))
    begun = Counter(line[0] for line in lines(path) if line[2] == "begun")
    again = {number for number, times in begun.items() if times > 1}
    print(f"{NUMBER} tasks, one kill, {len(lost)} ran then, {len(again)} ran again")
    # What has ended, and what the cluster had not heard of yet, runs again as well.
    assert lost <= again
    assert len(again) < NUMBER
    order = [int(line[0]) for line in done if int(line[0]) % 10 == 0]
    assert list(dict.fromkeys(order)) == sorted(set(order))
    is_there(c)


def test_what_a_node_ran_that_stood_still_is_given_up(nodes: list[Node], tmp_path: Path) -> None:
    """Another runs it meanwhile; what the first one began is cancelled when it goes on."""
    path = tmp_path / "hang"
    task = ask(nodes[0], "spawn", "tasks_app:hang_here", str(path), durable=True)
    wait_until(lambda: lines(path) != [], STEP, "it has begun")
    first = next(node for node in nodes if node.name == lines(path)[0][0])
    other = next(node for node in nodes if node is not first)
    first.pause()
    wait_until(lambda: len(lines(path)) == 2, STEP, "another has begun it")
    assert lines(path)[1][0] != first.name
    first.resume()
    wait_until(lambda: [first.name, "cancelled"] in lines(path), STEP, "it is given up")
    assert ask(other, "task_status", task) == "running"
    assert ask(other, "task_info", task)["attempts"] == 1
    assert ask(other, "cancel_task", task) is True
    wait_until(lambda: len(lines(path)) == 4, STEP, "the other one is told")
    is_there(first)


def schedules_go_on(ticks: Path) -> None:
    """Each, by two times or so."""
    enough = len(lines(ticks)) + 2 * SCHEDULES
    wait_until(lambda: len(lines(ticks)) >= enough, WHOLE, "schedules go on")


def gaps(ticks: Path) -> list[str]:
    """Of the schedules' times between the first and the last, those that have not run."""
    found = {tuple(line[0].split(":")[1:]) for line in lines(ticks)}
    missing = []
    for name in (f"s{n}" for n in range(SCHEDULES)):
        times = {int(due) for schedule, due in found if schedule == name}
        missing += [f"{name}:{t}" for t in range(min(times), max(times), 1000) if t not in times]
    return missing


def each_is_one_task(node: Node) -> None:
    infos = ask(node, "list_tasks", None, None, 10_000)
    keys = Counter(info["unique"] for info in infos if str(info["unique"]).startswith("schedule:s"))
    assert set(keys.values()) == {1}


def test_each_time_of_a_schedule_is_begun_once(nodes: list[Node], folder: Path) -> None:
    """While nodes are killed and started, the one that has begun the last ones among them."""
    ticks = folder / "ticks"

    for node in nodes[:2]:
        schedules_go_on(ticks)
        node.kill()
        schedules_go_on(ticks)
        node.start()
        is_there(node)
    schedules_go_on(ticks)
    # What ran on a node that was killed runs again when its lease is over.
    wait_until(lambda: not gaps(ticks), WHOLE, "all have run")
    counts = Counter(line[0] for line in lines(ticks))
    repeated = sum(counts.values()) - len(counts)
    print(f"{len(counts)} times, two kills, {repeated} ran again")
    assert repeated < len(counts)
    metrics = httpx.get(f"http://{nodes[0].address}:{nodes[0].cluster.metrics_port}/metrics").text
    assert re.search(r"^hornbeam_cluster_tasks{.*state=\"done\"} [1-9]", metrics, re.M)
    each_is_one_task(nodes[0])


def test_a_stop_hands_over_and_a_minority_refuses(
    nodes: list[Node], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "hang"
    over = ask(nodes[0], "spawn", ADD, 4, 4, durable=True)
    assert ask(nodes[0], "await_task", over) == 8
    hang = spawned(nodes[0], "tasks_app:hang_here", path, "stop")
    wait_until(lambda: lines(path) != [], STEP, "it has begun")
    stopped = next(node for node in nodes if node.name == lines(path)[0][0])
    stopped.stop()

    def begun() -> list[str]:
        return [name for name, what in lines(path) if what == "begun"]

    wait_until(lambda: len(begun()) == 2, STEP, "another has begun it")
    assert ask(nodes[nodes.index(stopped) - 1], "task_info", hang)["attempts"] == 1
    alone = next(node for node in nodes if node.name == begun()[1])
    killed = next(node for node in nodes if node not in (alone, stopped))
    killed.kill()
    refused = refused_task(alone, tmp_path / "refused")
    for name in ("task_result", "await_task", "cancel_task", "retry_task"):
        refuses(alone, name, over)
    assert ask(alone, "await_task", ask(alone, "spawn", ADD, 1, 1)) == 2, "its own tasks go on"
    wait_until(lambda: [alone.name, "cancelled"] in lines(path), STEP, "it gives up what it runs")
    killed.start()
    assert ask(alone, "task_result", over) == 8
    schedules_go_on(folder / "ticks")
    assert ask(killed, "cancel_task", hang) is True
    stopped.start()
    for node in nodes:
        is_there(node)
    was_not_taken(nodes, refused, tmp_path / "refused")


def spawned(node: Node, function: str, path: Path, unique: str, *arguments: Any) -> str:
    """A task that writes to that file, once however often it is asked for."""
    return str(ask(node, "spawn", function, str(path), *arguments, durable=True, unique=unique))


def refused_task(node: Node, path: Path) -> str:
    """The `unique` of one that was refused for want of a majority; those before may be in doubt."""
    numbers = itertools.count()

    def refused() -> str:
        unique = f"{path.name}{next(numbers)}"
        answer = once(node, "spawn", HERE, str(path), unique, durable=True, unique=unique)
        return unique if answer[1] == "NoQuorumError" else ""

    return wait_until(refused, WHOLE, f"{node.name} refuses a task")


def was_not_taken(nodes: list[Node], unique: str, path: Path) -> None:
    """What was refused is in no list, and has not run when what was asked for later has."""
    for node in nodes:
        assert ask(node, "await_task", ask(node, "spawn", ADD, 1, 1, durable=True)) == 2
        infos = ask(node, "list_tasks", None, None, 10_000)
        assert unique not in {info["unique"] for info in infos}
    assert unique not in {line[0] for line in lines(path)}


def test_a_partition(nodes: list[Node], folder: Path, tmp_path: Path) -> None:
    """The first node alone, and the two others. What is told on either side, and after a heal."""
    alone, *rest = nodes
    network = alone.cluster.network
    if network is None:
        pytest.skip("there are no networks to cut")
    path, ticks = tmp_path / "hang", folder / "ticks"
    over = ask(alone, "spawn", ADD, 6, 6, durable=True)
    assert ask(rest[0], "await_task", over) == 12
    later = {"durable": True, "delay": 600, "unique": "parted"}
    known = ask(alone, "spawn", ADD, 1, 1, **later)
    hang = hangs_on(alone, path)
    told_before = spawned(alone, HERE, tmp_path / "before", "before", "x", 0.1)
    network.part([alone.number], [node.number for node in rest])
    # In doubt, or refused, as it has noticed or not.
    doubt = ("spawn", HERE, str(tmp_path / "doubt"), "x", 0)
    once(alone, *doubt, durable=True, unique="doubt")

    # The side of the majority.
    assert ask(rest[0], "task_result", over) == 12
    assert ask(rest[1], "await_task", told_before, timeout=STEP) in {node.name for node in nodes}
    assert ask(rest[0], "spawn", ADD, 1, 1, **later) == known
    assert ask(rest[0], "cancel_task", hang) is True
    # The other one.
    refused = refused_task(alone, tmp_path / "refused")
    refuses(alone, "spawn", ADD, 1, 1, **later)
    for name in ("task_result", "await_task", "cancel_task", "retry_task"):
        refuses(alone, name, over)
    assert len(lines(tmp_path / "refused")) == 0
    # What it runs it gives up when its time is over, though it cannot be told.
    wait_until(lambda: [alone.name, "cancelled"] in lines(path), WHOLE, "it gives up what it runs")

    def runs_nothing() -> bool:
        before = len(lines(ticks))
        schedules_go_on(ticks)
        return alone.name not in {line[1] for line in lines(ticks)[before:]}

    wait_until(runs_nothing, WHOLE, "the others begin the times of schedules, and it none")

    network.heal()
    for node in nodes:
        assert ask(node, "task_result", over) == 12
        assert ask(node, "task_status", told_before) == "done"
        assert ask(node, "task_status", hang) == "cancelled"
        assert ask(node, "spawn", ADD, 1, 1, **later) == known
    again = ask(alone, *doubt, durable=True, unique="doubt")
    assert ask(rest[0], "await_task", again, timeout=STEP) in {node.name for node in nodes}
    was_not_taken(nodes, refused, tmp_path / "refused")
    infos = ask(alone, "list_tasks", None, None, 10_000)
    assert [info["id"] for info in infos if info["unique"] == "doubt"] == [again]
    wait_until(lambda: not gaps(ticks), WHOLE, "each time was begun")
    each_is_one_task(alone)
    assert ask(alone, "cancel_task", known) is True


def hangs_on(node: Node, path: Path) -> str:
    """A task that runs on that node, and writes so; others like it are cancelled."""
    for number in itertools.count():
        task = spawned(node, "tasks_app:hang_here", path, f"{path.name}{number}")
        wait_until(lambda n=number: len(lines(path)) == 2 * n + 1, STEP, "it has begun")  # type: ignore[misc]
        if lines(path)[-1][0] == node.name:
            return task
        assert ask(node, "cancel_task", task) is True
        wait_until(lambda n=number: len(lines(path)) == 2 * n + 2, STEP, "it is told")  # type: ignore[misc]
    raise AssertionError


def test_all_are_killed(nodes: list[Node], folder: Path, tmp_path: Path) -> None:
    path, ticks = tmp_path / "lines", folder / "ticks"
    a, b, c = nodes
    over = ask(a, "spawn", ADD, 5, 5, durable=True)
    assert ask(b, "await_task", over) == 10
    gone = ask(a, "spawn", ADD, 1, 1, durable=True, delay=600, unique="gone")
    assert ask(b, "cancel_task", gone) is True
    tasks = [spawned(a, HERE, path, f"all{number}", str(number), 1) for number in range(20)]
    wait_until(lambda: lines(path) != [], STEP, "some run")
    # Not answered: two of three stand still when it is asked for.
    doubt = ("spawn", HERE, str(tmp_path / "doubt"), "x", 0)
    b.pause()
    c.pause()
    once(a, *doubt, durable=True, unique="all doubt")
    b.kill()
    c.kill()
    refused = refused_task(a, tmp_path / "refused")
    a.kill()
    a.cluster.start()
    assert ask(c, "task_result", over) == 10
    was_not_taken(nodes, refused, tmp_path / "refused")
    again = ask(a, *doubt, durable=True, unique="all doubt")
    assert ask(b, "await_task", again, timeout=STEP) in {node.name for node in nodes}
    infos = ask(b, "list_tasks", None, None, 10_000)
    assert [info["id"] for info in infos if info["unique"] == "all doubt"] == [again]
    assert ask(b, "task_status", gone) == "cancelled"
    assert spawned(b, HERE, path, "all0", "0", 1) == tasks[0]
    for task in tasks:
        assert ask(b, "await_task", task, timeout=STEP) in {node.name for node in nodes}
    done = Counter(line[0] for line in lines(path) if line[2] == "done")
    assert set(done) == {str(number) for number in range(20)}
    schedules_go_on(ticks)
    wait_until(lambda: not gaps(ticks), WHOLE, "what nobody began is begun: missed=all")
    each_is_one_task(c)
