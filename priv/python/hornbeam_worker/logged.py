"""Which exceptions have been logged already, so that a traceback is not in the output twice.

A framework logs what an application raises and raises it again for the server, which would log it
once more. A record is made (logging's record factory) for every call that a logger takes; one with
an exception that some handler will get marks this exception, the very object. `error` then says
where its traceback is in place of repeating it. An exception that another one was raised from is
another one; what is printed without logging is not seen.

Limits: an application that sets a record factory of its own and does not call the one before has
its tracebacks twice.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any, Final

from hornbeam_worker.logs import OWN

__all__ = ["error", "printable", "watch"]

_MARK: Final = "_hornbeam_logged_by"
# Of both sets, and what else ends a line.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def watch() -> None:
    """From now on every record is looked at as it is made."""
    make = logging.getLogRecordFactory()

    def factory(name: str, level: int, *rest: Any, **more: Any) -> logging.LogRecord:
        record = make(name, level, *rest, **more)
        if record.exc_info and (exception := record.exc_info[1]) is not None:
            own = name == OWN or name.startswith(f"{OWN}.")
            if not own and _is_shown(name, level):
                with suppress(AttributeError, TypeError):  # one that takes no attributes
                    setattr(exception, _MARK, name)
        return record

    logging.setLogRecordFactory(factory)


def error(
    logger: logging.Logger, message: str, *arguments: object, of: BaseException | None
) -> None:
    """Logs an error with the traceback of an exception, unless that has been logged before. Texts
    among the arguments may be a client's."""
    arguments = tuple(printable(each) if isinstance(each, str) else each for each in arguments)
    name = getattr(of, _MARK, None)
    if of is None or name is None:
        logger.error(message, *arguments, exc_info=of)
        return
    delattr(of, _MARK)  # some raise the same object again, for another request
    text = f"{message}: %s (the logger %r has its traceback)"
    logger.error(text, *arguments, _short(of), name)


def printable(text: str) -> str:
    """What a client chose, such as a path, as it may stand in a line of the log and on a terminal:
    control characters are %XX again."""
    return _CONTROL.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def _short(exception: BaseException) -> str:
    kind = type(exception).__name__
    try:
        text = str(exception)
    except Exception:
        return kind
    return f"{kind}: {text}" if text else kind


def _is_shown(name: str, level: int) -> bool:
    """Whether a handler will get a record of this logger."""
    logger: logging.Logger | None = logging.getLogger(name)
    found = False
    while logger is not None:
        for handler in logger.handlers:
            found = True
            if level >= handler.level and not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    last = logging.lastResort
    return not found and last is not None and level >= last.level
