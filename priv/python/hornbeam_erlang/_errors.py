"""The exceptions that an error of Erlang's becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

__all__ = [
    "ClusterError", "ClusterOverloadedError", "ComputationError", "ErlangError", "HookError",
    "HookNotFoundError", "InDoubtError", "LockLostError", "NoClusterError", "NoQuorumError",
    "NoSuchServiceError", "NotRegisteredError", "ServiceError", "ServiceOverloadedError",
    "ServiceUnavailableError", "TaskCancelledError", "TaskError", "TaskFailedError",
    "TaskNotFinishedError", "TaskNotFoundError", "TaskRefusedError",
    "raise_error",
]  # fmt: skip


class ErlangError(RuntimeError):
    """What an Erlang function returned as `{error, Reason}`, or raised.

    error_class  "error", "exit" or "throw"
    reason       the reason as a value, or as text where it cannot travel (a pid, a fun)
    stack        Erlang's text of the exception and its stack; "" for a returned `{error, Reason}`
    """

    def __init__(self, error_class: str, reason: Any, text: str, stack: str) -> None:
        super().__init__(f"{error_class}: {text}" + (f"\n{stack}" if stack else ""))
        self.error_class = error_class
        self.reason = reason
        self.text = text
        self.stack = stack

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error_class, self.reason, self.text, self.stack)


class NotRegisteredError(ErlangError, LookupError):
    """No Erlang function is registered under the name that was called."""


class ComputationError(RuntimeError):
    """What a computation raised that another caller ran, where its own class cannot be raised
    here, and the cause of what is raised where it can.

    module, name  of the class of what was raised there
    text          its text
    traceback     where it came from, as text
    """

    def __init__(
        self, module: str, name: str, arguments: bytes | None, text: str, traceback: str
    ) -> None:
        super().__init__(f"{module}.{name}: {text}\n{traceback}")
        self.module = module
        self.name = name
        self.arguments = arguments
        self.text = text
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.module, self.name, self.arguments, self.text, self.traceback)
        return type(self), parts


class _RaisedElsewhere(RuntimeError):
    """What Python code raised in another process."""

    def __init__(self, class_name: str, message: str, traceback: str) -> None:
        super().__init__(f"{class_name}: {message}" + (f"\n{traceback}" if traceback else ""))
        self.class_name = class_name
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.class_name, self.message, self.traceback)


class ServiceError(_RaisedElsewhere):
    """What a method of a service raised.

    class_name  the name of its class ("ValueError", "package.module.Class")
    message     its text
    traceback   its traceback in the service's process, as text
    """


class HookError(ServiceError):
    """What a hook's handler in Python raised: `class_name`, `message`, `traceback`."""


class HookNotFoundError(LookupError, RuntimeError):
    """Nobody handles the hook that was called, or there is no such task."""


class NoSuchServiceError(LookupError):
    """No service has the name that was called (option `services`)."""


class ServiceUnavailableError(ConnectionError):
    """The service's process ended during the call, or is just being started anew: another try may
    succeed, and the method may have run."""


class ServiceOverloadedError(RuntimeError):
    """The service's queue is full: the method has not run."""


class ClusterError(RuntimeError):
    """Something of the cluster: of what was asked nothing was done, but for InDoubtError."""


class NoClusterError(ClusterError):
    """This server is in no cluster (option `cluster`)."""


class NoQuorumError(ClusterError, ConnectionError):
    """Fewer than a majority of the cluster's members can be reached: nothing was done."""


class InDoubtError(ClusterError, TimeoutError):
    """A change was sent to the cluster and not answered in time: it is done, or will be, or not."""


class ClusterOverloadedError(ClusterError):
    """Too many operations of this node wait for the cluster: this one was not done."""


class LockLostError(ClusterError):
    """A lock was lost while it was held: another one may have had it meanwhile.

    name   of the lock, the semaphore or the election
    token  the one it was held with
    """

    def __init__(self, name: str, token: int) -> None:
        super().__init__(f"{name!r} was lost while it was held, with the token {token}")
        self.name = name
        self.token = token

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.token)


class TaskError(RuntimeError):
    """Something of a background task."""


class TaskFailedError(_RaisedElsewhere, TaskError):
    """A task has failed.

    class_name  the class of what it raised, "ValueError" or "package.module.Class"
    message     its text
    traceback   where it came from, as text; "" where there is none
    """


class TaskCancelledError(TaskError):
    """A task was cancelled."""


class TaskNotFinishedError(TaskError):
    """A task has no result yet."""


class TaskNotFoundError(TaskError, LookupError):
    """There is no such task, or its time to be remembered is over."""


class TaskRefusedError(TaskError):
    """A task was not taken; `kind`: "full", "stopping" or "not_stored" (the disk has failed; it
    may have begun)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.text)


_BUILTIN: Final[dict[str, Callable[[str], Exception]]] = {
    "type_error": TypeError,
    "value_error": ValueError,
    "permission_error": PermissionError,
    "connection_error": ConnectionError,
    "timeout": TimeoutError,
    "no_service": NoSuchServiceError,
    "no_hook": HookNotFoundError,
    "service_unavailable": ServiceUnavailableError,
    "service_overloaded": ServiceOverloadedError,
    "no_cluster": NoClusterError,
    "no_quorum": NoQuorumError,
    "in_doubt": InDoubtError,
    "cluster_overloaded": ClusterOverloadedError,
}


def _remote(class_name: str, message: str, traceback: str) -> Exception:
    """A call whose time was over before its turn came is one that was not answered in time."""
    if class_name == "hornbeam_worker.performance.GivenUpError":
        return TimeoutError(message)
    return ServiceError(class_name, message, traceback)


def raise_error(kind: str, what: Any) -> NoReturn:
    """Raises the exception of an error reply: its kind and its text or parts."""
    if kind == "erlang_error":
        raise ErlangError(*what)
    if kind == "service_error":
        raise _remote(*what)
    if kind == "hook_error":
        raise HookError(*what)
    if kind == "not_registered":
        raise NotRegisteredError("error", kind, what, "")
    if kind == "computation_error":
        raise ComputationError(*what)
    raise _BUILTIN[kind](what)
