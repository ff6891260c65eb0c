"""What the name and the action of a hook lead to in one process, and what a worker makes of it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hornbeam_erlang import batched
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang.testing import standalone
from hornbeam_worker import hooks


class Thing:
    def go(self, value: int) -> int:
        return value + 1

    async def later(self) -> None: ...

    async def values(self) -> AsyncIterator[int]:
        yield 1

    @property
    def looked_at(self) -> Any:
        raise AssertionError("a property was run")

    @batched(max_size=2)
    def together(self, items: list[int]) -> list[int]:
        return items

    attribute = 1

    def _hidden(self) -> None: ...


class Called(Thing):
    def __call__(self, action: str, *args: Any) -> Any:
        return action, args


class CalledLater:
    async def __call__(self, action: str) -> str:
        return action


def function(action: str, *args: Any, **kwargs: Any) -> Any:
    return action, args, kwargs


async def coroutine(action: str) -> str:
    return action


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()
    for name, handler in {
        "thing": Thing,
        "object": Called(),
        "function": function,
        "method": Called().__call__,
        "partial": functools.partial(function, "first"),
    }.items():
        made.add(name, handler)
    return made


def test_an_action_is_a_method_or_what_a_function_is_given(handlers: Handlers) -> None:
    assert handlers.find("thing", "go")(1) == 2
    assert handlers.find("object", "go")(1) == 2
    assert handlers.find("object", "other")(1) == ("other", (1,))
    assert handlers.find("object", "_hidden")(1) == ("_hidden", (1,))
    assert handlers.find("function", "__class__")(1, k=2) == ("__class__", (1,), {"k": 2})
    assert handlers.find("method", "go")(1) == ("go", (1,))
    assert handlers.find("partial", "go")(1) == ("first", ("go", 1), {})


@pytest.mark.parametrize("action", ["_hidden", "__init__", "looked_at", "attribute", "no", ""])
def test_what_is_no_action(handlers: Handlers, action: str) -> None:
    with pytest.raises(AttributeError, match='the hook "thing" has no action'):
        handlers.find("thing", action)


def test_batched_methods_belong_to_services(handlers: Handlers) -> None:
    with pytest.raises(TypeError, match="services"):
        handlers.find("thing", "together")


def test_a_class_is_made_once_and_the_last_handler_holds(handlers: Handlers) -> None:
    first = handlers.find("thing", "go")
    assert handlers.find("thing", "go") == first
    take_back = handlers.add("thing", function)
    assert handlers.find("thing", "go")(1) == ("go", (1,), {})
    take_back()
    assert handlers.find("thing", "go") == first
    handlers.add("new", function)()
    with pytest.raises(KeyError):
        handlers.find("new", "go")
    assert handlers.remove("thing")
    assert not handlers.remove("thing")
    with pytest.raises(KeyError):
        handlers.find("thing", "go")


def test_a_class_that_cannot_be_made_is_not_registered() -> None:
    def fails() -> None:
        raise ValueError("no")

    handlers = Handlers()
    with pytest.raises(ValueError, match="no"):
        handlers.add("fails", type("Fails", (), {"__init__": lambda _: fails()}))
    with pytest.raises(KeyError):
        handlers.find("fails", "go")


CASES: list[tuple[Callable[..., Any], str, bool]] = [
    (Thing, "go", False),
    (Thing, "later", True),
    (Thing, "values", True),
    (Called, "other", False),
    (CalledLater, "other", True),
    (function, "go", False),
    (coroutine, "go", True),
    (functools.partial(coroutine), "go", True),
]


@pytest.mark.parametrize(("handler", "action", "is_async"), CASES)
def test_what_runs_in_the_loop(handler: Any, action: str, is_async: bool) -> None:
    with standalone() as erlang:
        erlang.register_hook("a:b", handler)
        assert hooks.find(f"a:b\0{action}").is_async is is_async
        with pytest.raises(hooks.NotRegisteredError):
            hooks.find("b\0go")
