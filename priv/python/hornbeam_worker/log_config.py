"""The option `log_config`: a file for Python's logging, read before the application is imported.

What its end says: `.json`, `.yaml`, `.yml` and `.toml` hold what `logging.config.dictConfig` takes,
`.ini` and everything else is for `logging.config.fileConfig`. Loggers that are there already stay
enabled unless the file says otherwise ("disable_existing_loggers"; uvicorn has it so for .ini): the
only ones are asyncio's and the like.
"""

from __future__ import annotations

import importlib
import json
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from hornbeam_worker.failure import FailureKind, StartFailure

__all__ = ["configure"]


def configure(path: str) -> None:
    """StartFailure where the file cannot be read, or logging does not take it."""
    if not path:
        return
    import logging.config

    try:
        kind = Path(path).suffix.lower()
        if kind in (".json", ".yaml", ".yml", ".toml"):
            config = _read(path, kind)
            if not isinstance(config, dict):
                raise ValueError("it must hold a mapping, as logging.config.dictConfig takes it")
            logging.config.dictConfig({"disable_existing_loggers": False, **config})
        else:
            # What cannot be opened would be said to be empty.
            with Path(path).open(encoding="utf-8") as file:
                logging.config.fileConfig(file, disable_existing_loggers=False)
    except StartFailure:
        raise
    except Exception as error:
        raise StartFailure(FailureKind.LOG_CONFIG_FAILED, f"{path}: {_reasons(error)}") from None


def _read(path: str, kind: str) -> Any:
    data = Path(path).read_bytes()
    if kind == ".json":
        return json.loads(data)
    if kind == ".toml":
        return _module(path, "TOML needs Python 3.11 or", "tomllib", "tomli").loads(data.decode())
    return _module(path, "YAML needs", "yaml").safe_load(data)


def _module(path: str, needs: str, *names: str) -> Any:
    for name in names:
        with suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    package = {"yaml": "PyYAML"}.get(names[-1], names[-1])
    raise StartFailure(
        FailureKind.LOG_CONFIG_FAILED, f"{path}: {needs} the package {package} (pip install)"
    )


def _reasons(error: BaseException | None) -> str:
    """The texts of an exception and of those that it was raised from, which logging wraps."""
    texts = []
    while error is not None:
        texts.append("".join(traceback.format_exception_only(type(error), error)).strip())
        error = error.__cause__ or error.__context__
    return "; ".join(texts)
