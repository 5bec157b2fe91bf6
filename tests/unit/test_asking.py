"""The command by which a worker asks for messages."""

from __future__ import annotations

from redis.connection import Connection

from simcelery.broker.asking import brpop, written


def test_it_is_written_as_redis_py_writes_it() -> None:
    keys = ["default:sims.add", "default:sims.add\x06\x163", "a b", "\u00e4 \U0001d6d9", ""]
    theirs = b"".join(Connection()._command_packer.pack("BRPOP", *keys, 10))
    assert brpop([written(key) for key in keys], 10) == theirs
