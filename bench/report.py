"""The text of the results: a table for each scenario, and what it takes to repeat them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from figures import Entry, ratio, spread

__all__ = ["Origin", "Outcome", "page", "table"]


@dataclass
class Outcome:
    """What came of a scenario: its entries, ours first; notes for below the table."""

    key: str
    title: str
    workers: int
    connections: int
    entries: Sequence[Entry]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Origin:
    """Where results come from: the command, versions, the machine's shape, the date, the rounds."""

    command: str
    versions: str
    machine: str
    date: str
    rounds: int
    seconds: int

    def __str__(self) -> str:
        return f"`{self.command}`, {self.date}; {self.machine}; {self.versions}."


def table(outcome: Outcome) -> Iterator[str]:
    """A heading, a row for each figure, and what else is to say."""
    workers = "1 worker" if outcome.workers == 1 else f"{outcome.workers} workers"
    connections = f"{outcome.connections:,} connection{'s' * (outcome.connections != 1)}"
    yield from (f"### {outcome.key}: {outcome.title}, {workers}, {connections}", "")
    ours, *peers = outcome.entries
    ran = [entry for entry in outcome.entries if entry.figures and not entry.failed]
    names = list(dict.fromkeys(name for entry in ran for name in entry.figures))
    shown = [ours, *(peer for peer in peers if peer in ran)]
    if names:
        yield f"| | {' | '.join(entry.name for entry in shown)} |"
        yield f"| --- |{' ---: |' * len(shown)}"
    for name in names:
        yield f"| {name} | {' | '.join(_cell(name, ours, entry) for entry in shown)} |"
    yield ""
    if notes := [*outcome.notes, *_failures(outcome.entries)]:
        yield from (*(f"- {note}" for note in notes), "")


def _failures(entries: Sequence[Entry]) -> Iterator[str]:
    """Each reason once, after the names of those that it holds for."""
    for reason in dict.fromkeys(entry.failed for entry in entries if entry.failed):
        names = [entry.name for entry in entries if entry.failed == reason]
        yield f"{', '.join(names)}: {reason}"


def _cell(name: str, ours: Entry, entry: Entry) -> str:
    values = entry.figures.get(name)
    if not values or entry.failed:
        return "-"
    mine = ours.figures.get(name)
    if entry is ours or ours.failed or not mine:
        return spread(values)
    return f"{spread(values)}<br>{ratio(mine, values)}"


def page(
    title: str, outcomes: Sequence[Outcome], origin: Origin, commands: Mapping[str, str],
    plots: Sequence[str] = (),
) -> str:  # fmt: skip
    """The whole file."""
    lines = [
        f"# {title}", "",
        f"{origin}", "",
        f"Medians of up to {origin.rounds} interleaved rounds of {origin.seconds} s (least to "
        "largest). "
        "Below a peer's figure, in bold: Hornbeam's to it, the median of the rounds' ratios (least "
        "to largest). Of requests/s and events/s more is better, of all else less. What is "
        "measured, and how to read it: [performance](../../docs/performance.md).", "",
        *(f"![{name.partition('.')[0]}]({name})\n" for name in plots),
    ]  # fmt: skip
    for outcome in outcomes:
        lines += table(outcome)
    lines += ["### Commands", "", "Each with one worker.", ""]
    lines += [f"- {name}: `{command}`" for name, command in commands.items()]
    return "\n".join(lines) + "\n"
