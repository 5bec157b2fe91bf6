"""Which job submits jobs here, if any: it is noted on them as their ``parent_id``."""

from __future__ import annotations

# Set by the worker. A pool child runs one job at a time, in whatever threads that job has.
submitting_job: int | None = None
