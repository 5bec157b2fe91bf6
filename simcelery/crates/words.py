"""The README of a crate: what is in it, for whoever finds it in ten years."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcelery.crates.files import MANIFEST
from simcelery.describe.words import many
from simcelery.readable import line

_MOST_NAMED = 5


@dataclass(frozen=True)
class Told:
    """What the README says.

    Attributes:
        states: how many jobs are in each state.
        tables: workflow → its table.
    """

    title: str
    license: str
    at: dt.datetime
    jobs: int
    attempts: int
    logs: int
    artifacts: int
    states: Mapping[str, int]
    tables: Mapping[str, str]
    submitters: Sequence[str]
    one_by_one: bool


def title(workflows: Sequence[str], tags: Sequence[str]) -> str:
    """What a crate is called, unless somebody says otherwise."""
    named = ", ".join(workflows[:_MOST_NAMED]) + (", …" if len(workflows) > _MOST_NAMED else "")
    return line(f"Jobs of {named}" + (f" ({', '.join(tags)})" if tags else ""))


def description(told: Told) -> str:
    """The crate in a sentence."""
    states = ", ".join(f"{number:,} {state}" for state, number in sorted(told.states.items()))
    return f"{many(told.jobs)} of {many(len(told.tables), 'workflow')} run by simcelery: {states}."


def readme(told: Told) -> str:
    """The whole README, in Markdown."""
    tables = "\n".join(f"| `{line(path)}` | {line(name)} |" for name, path in told.tables.items())
    first = next(iter(told.tables.values()))
    described = "each attempt" if told.one_by_one else "attempts that ended alike, together"
    crate = "an [RO-Crate](https://w3id.org/ro/crate/1.1) for machines"
    kept = f"| `artifacts/` | {many(told.artifacts, 'file')} that jobs have registered, `JOB/NAME` |\n"
    return f"""# {line(told.title)}

{description(told)} Written on {told.at:%Y-%m-%d %H:%M} UTC.
Submitted by {line(", ".join(told.submitters))}.

Licence: {line(told.license)}

## What is here

| file | |
|---|---|
| `jobs/` | for each workflow a table, with a row for each job: its parameters, result, state and error |
| `attempts.parquet` | a row for each attempt that has ended: when, where and with what it ran |
| `logs/` | what {many(told.logs, "attempt")} printed, `JOB.ATTEMPT.txt`; no file: nothing was printed |
{kept if told.artifacts else ""}| `ro-crate-metadata.json` | {crate}: {described} |
| `{MANIFEST}` | SHA-256 of each file but itself: `sha256sum --check --quiet {MANIFEST}` |

| table | workflow |
|---|---|
{tables}

## How to read it

    import pandas
    jobs = pandas.read_parquet("{first}")
    attempts = pandas.read_parquet("attempts.parquet")

In a table of jobs, `parameters.x` and `result.y` are parameters and fields of the result (`result`, where
it has none), `parents` the jobs that a job waited for, and `attempt` the number of its last attempt.

In `attempts.parquet`, `job` and `attempt` say which, `outcome` and `cause` how it ended. `python`,
`simcelery`, `package` and `version` are versions; `tree` is the folder of the code, `repository` where that
was cloned from, `commit` its git commit, `dirty` whether it differed from that, and `lock_sha256` the hash
of `lock_file`; `source` and `code_version` are fingerprints of the workflow's source. `parameters` are those
that the attempt ran with, as JSON: a job may have been retried with others. `seed` is what its random numbers
began with. Times are UTC, `cpu_seconds` seconds, `peak_memory` bytes.

Passwords in URLs are written as `***`. Hosts, folders and user names are a part of the record.
"""
