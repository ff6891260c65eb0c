"""Functions that run at times: `scheduled`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from hornbeam_erlang import _client as client
from hornbeam_erlang import _cron
from hornbeam_erlang import _task_requests as requests
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang._task_requests import Duration, TaskOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["scheduled"]

F = TypeVar("F", bound=Callable[..., Any])


def scheduled(
    *,
    every: Duration | None = None,
    cron: str | None = None,
    tz: str = "UTC",
    name: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    jitter: Duration = 0,
    missed: str = "skip",
    **options: Unpack[TaskOptions],
) -> Callable[[F], F]:
    """Has a function of a module run at times, as a task, once for all workers and connected nodes.

        @scheduled(every="5m")
        def clean() -> None: ...

        @scheduled(cron="0 3 * * *", tz="Europe/Berlin", missed="once")
        async def report() -> None: ...

    every    at the whole multiples of it since 1970: "1h" is every full hour of UTC
    cron     five fields, or six with seconds first; needs the package cronsim
    jitter   up to so much later, at random
    missed   what of times is run at which no server was there: none ("skip"), the last ("once"), or
             all of them. Known over a restart with the option data_dir.

    The options are those of `spawn`, without unique and delay. The worker that imports the module
    declares it; elsewhere this does nothing. ValueError for what makes no sense.
    """
    if (every is None) == (cron is None):
        raise ValueError("scheduled takes either every or cron")
    if missed not in ("skip", "once", "all"):
        raise ValueError(f"missed must be skip, once or all, not {missed!r}")
    if wrong := {"unique", "delay"} & set(options):
        raise TypeError(f"scheduled takes no {' and no '.join(sorted(wrong))}")
    sent = requests.options(options)
    sent |= {"jitter": requests.milliseconds("jitter", jitter), "missed": missed}
    if every is not None:
        sent["every"] = requests.milliseconds("every", every)
        if sent["every"] < 1000:
            raise ValueError("every must be a second at least")
    else:
        assert cron is not None
        _cron.check(cron, tz)
        sent |= {"cron": cron, "tz": tz}

    def declare(function: F) -> F:
        # Its module is being imported, so it cannot be looked for there yet.
        path = f"{function.__module__}:{function.__qualname__}"
        if "<locals>" in path:
            raise ValueError(f"{path} cannot be scheduled: it is not a function of a module")
        if client.is_connected():
            body = requests.body(path, args, kwargs)
            client.call(OPERATIONS["schedule_declare"], [name or path, path, body, sent])
        return function

    return declare
