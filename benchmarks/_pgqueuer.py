"""pgqueuer with the same jobs: ``python _pgqueuer.py fill 100000``, ``drain 100``, ``loop 900``."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.util import find_spec

CHUNK = 10_000
HERE = all(map(find_spec, ("pgqueuer", "asyncpg", "uvloop")))
MISSING = None if HERE else "pgqueuer is not installed: pip install '.[bench]'"


async def fill(count: int) -> float:
    """Seconds for a bulk enqueue, in one statement per 10,000 jobs."""
    import asyncpg
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(os.environ["PEER_DATABASE_URL"])
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.uninstall()
    await queries.install()
    began = time.perf_counter()
    for start in range(0, count, CHUNK):
        numbers = range(start, min(count, start + CHUNK))
        payloads: list[bytes | None] = [json.dumps({"n": n}).encode() for n in numbers]
        await queries.enqueue(["noop"] * len(numbers), payloads, [0] * len(numbers))
    took = time.perf_counter() - began
    await connection.close()
    return took


async def loop(count: int) -> float:
    """Seconds for a loop that enqueues one job after another."""
    import asyncpg
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(os.environ["PEER_DATABASE_URL"])
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.schema_is_installed():
        await queries.install()
    began = time.perf_counter()
    for n in range(count):
        await queries.enqueue("noop", json.dumps({"n": n}).encode())
    took = time.perf_counter() - began
    await connection.close()
    return took


async def drain(batch: int) -> None:
    """One worker, until nothing is left."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.models import Job
    from pgqueuer.types import QueueExecutionMode

    connection = await asyncpg.connect(os.environ["PEER_DATABASE_URL"])
    queuer = PgQueuer.from_asyncpg_connection(connection)

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        json.loads(job.payload or b"")

    await queuer.qm.run(batch_size=batch, mode=QueueExecutionMode.drain)


def main() -> None:
    """What the first argument says."""
    import uvloop

    verb, number = sys.argv[1], int(sys.argv[2])
    if verb == "drain":
        uvloop.run(drain(number))
    else:
        print(json.dumps(uvloop.run({"fill": fill, "loop": loop}[verb](number))))


if __name__ == "__main__":
    main()
