"""Keep in a file what a workflow returned if the board cannot store it, for whoever computed it.

The file is a pickle, which holds almost anything; nothing here ever reads one. What cannot be pickled is
replaced by its text, and if even that fails, the file holds the text of the whole value.
"""

from __future__ import annotations

import copyreg
import importlib
import itertools
import os
import pickle  # nosec B403
import reprlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

PICKLE, TEXT = "result.pickle", "result.txt"
MOST_TEXT = 1024 * 1024  # bytes


def keep(value: Any, folder: Path) -> Path:
    """Write the value to a new file in the folder.

    Raises:
        OSError: there is no room for it, or the folder cannot be written to.
    """
    try:
        return _write(folder, PICKLE, lambda file: _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value))
    except OSError:
        raise
    except BaseException:  # of the value's own methods, or of pickle: too deep, too large
        return _write(folder, TEXT, lambda file: file.write(_text(value)))


def _write(folder: Path, name: str, write: Callable[[BinaryIO], object]) -> Path:
    """A file that is there whole or not at all, and takes the place of none that is there."""
    file, path = _new_file(folder, name)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # a quota, or a network's file system, may refuse only now
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return path


def _new_file(folder: Path, name: str) -> tuple[BinaryIO, Path]:
    stem, suffix = os.path.splitext(name)
    for number in itertools.count(1):
        path = folder / (name if number == 1 else f"{stem}-{number}{suffix}")
        with suppress(FileExistsError):
            return path.open("xb"), path
    raise AssertionError("unreachable")


class _Pickler(pickle.Pickler):
    """Puts a text in the place of each part that cannot be pickled."""

    def reducer_override(self, obj: Any) -> Any:
        """What pickle asks for everything but plain data."""
        kind = type(obj)
        if isinstance(obj, type | FunctionType):
            # Something callable, for what else the object that holds it is made of.
            return NotImplemented if _is_importable(obj) else (partial, (str, _short(obj)))
        if not _is_importable(kind):
            return str, (_short(obj),)
        if kind in copyreg.dispatch_table:
            return NotImplemented
        try:
            return obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:
            return str, (_short(obj),)


def _is_importable(named: Any) -> bool:
    """Whether pickle finds a class or a function by its name again."""
    try:
        found: Any = importlib.import_module(named.__module__)
        for name in named.__qualname__.split("."):
            found = getattr(found, name)
    except Exception:
        return False
    return found is named


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except Exception:
        return object.__repr__(value)


def _text(value: Any) -> bytes:
    try:
        text = repr(value)
    except BaseException:  # its own __repr__ fails, or it is too deep
        text = _short(value)
    return text[:MOST_TEXT].encode(errors="backslashreplace")[:MOST_TEXT]
