"""Put files into a store, get them back whole, and delete them."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from simcelery.execution import durable
from simcelery.failpoints import failpoint
from simcelery.urls import folder_of_store

_AT_ONCE = 1 << 20  # bytes


class StoreError(Exception):
    """The store cannot do what it is asked for; why, in one line."""


class ChangedError(StoreError):
    """A file is not the one that it should be."""


def url_of(store: str, *parts: str) -> str:
    """The place of a file in a store."""
    return "/".join([store.rstrip("/"), *parts])


def put(source: Path, url: str, size: int) -> None:
    """Store a file; a former one at this place is replaced.

    Raises:
        StoreError: the store refuses it, cannot be reached, or has less than the whole.
        OSError: the file cannot be read.
    """
    with _naming(f"cannot store {source.name} at {url}"):
        if (target := folder_of_store(url)) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as file, durable.complete(target, partial(failpoint, "stored")) as copy:
                shutil.copyfileobj(file, copy, _AT_ONCE)
            found = target.stat().st_size
        else:
            system, place = _opened(url)
            system.put_file(str(source), place)
            failpoint("stored")
            found = int(system.info(place)["size"])
    if found != size:
        raise ChangedError(f"{url} has {found:,} bytes, and not {size:,}")


def get(url: str, target: Path, sha256: str) -> None:
    """Get a file back; it is there whole, with this checksum, or not at all.

    Raises:
        ChangedError: it has another checksum.
        StoreError: it is not there, or the store cannot be reached.
        OSError: the target cannot be written.
    """
    digest = hashlib.sha256()

    def is_whole() -> None:
        check(url, digest.hexdigest(), sha256)

    with durable.complete(target, is_whole) as copy, _naming(f"cannot get {url}"), _reading(url) as file:
        while read := file.read(_AT_ONCE):
            digest.update(read)
            copy.write(read)


def delete(url: str) -> None:
    """Delete a file, if it is there.

    Raises:
        StoreError: the store refuses it, or cannot be reached.
    """
    with _naming(f"cannot delete {url}"), suppress(FileNotFoundError):
        if (target := folder_of_store(url)) is not None:
            for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
                left.unlink(missing_ok=True)  # of somebody who was killed
            target.unlink(missing_ok=True)
            with suppress(OSError):  # others are still in it
                target.parent.rmdir()
        else:
            system, place = _opened(url)
            system.rm_file(place)


def checksum(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(what: object, found: str, sha256: str) -> None:
    """Refuse what has another checksum.

    Raises:
        ChangedError: it has.
    """
    if found != sha256:
        raise ChangedError(
            f"{what} is not the file that was registered: its SHA-256 is {found[:16]}… and was {sha256[:16]}…"
        )


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, FileNotFoundError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{what}: it is not there") from error
    except Exception as error:  # each kind of store has its own
        said = " ".join(str(error).split()) or "no reason given"
        raise StoreError(f"{what}: {type(error).__name__}: {said[:500]}") from error


@contextmanager
def _reading(url: str) -> Iterator[Any]:
    if (source := folder_of_store(url)) is not None:
        with source.open("rb") as file:
            yield file
    else:
        system, place = _opened(url)
        with system.open(place, "rb") as file:
            yield file


def _opened(url: str) -> tuple[Any, str]:
    """The store, and the place in it. Clients are not shared, least of all with a workflow."""
    try:
        import fsspec
    except ImportError as error:
        raise StoreError("it needs fsspec: pip install 'simcelery[artifacts]'") from error
    protocol = url.partition("://")[0]
    system = fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)
    return system, system._strip_protocol(url)


def is_of(store: str, url: str) -> bool:
    """Whether a URL is one of this store: nothing else is ever deleted."""
    return url.startswith(f"{store.rstrip('/')}/") and ".." not in url.split("/")


def exists(path: str, size: int) -> bool:
    """Whether a file of this size is here."""
    with suppress(OSError):
        return os.stat(path).st_size == size
    return False
