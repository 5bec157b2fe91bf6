"""The metadata of a crate, as RO-Crate 1.1 and the profile Process Run Crate 0.5 have them.

Each attempt that has ended is a CreateAction, as long as these are few. Nobody looks at thousands of them one
by one: then there is one for each workflow, environment and outcome, and the tables have the rest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from simcelery.board.reads.records import Record
from simcelery.crates import files
from simcelery.crates.files import File
from simcelery.describe.plain import plain
from simcelery.describe.words import many

Entity = dict[str, Any]
METADATA = "ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # where sha256 is from
_MOST_ATTEMPTS = 1_000  # that are described one by one,
_MOST_ENTITIES = 20_000  # as long as it does not take more than these
_LONGEST = 2_000  # characters of a value; a longer one is in the tables
_STATUS = {True: "http://schema.org/CompletedActionStatus", False: "http://schema.org/FailedActionStatus"}
_TEXT = {"encodingFormat": "text/plain"}


@dataclass
class _Group:
    """Attempts of one workflow, from one origin, that ended alike."""

    workflow: str
    instrument: str
    succeeded: bool
    count: int = 0
    agents: dict[str, None] = field(default_factory=dict)
    started: dt.datetime | None = None
    finished: dt.datetime | None = None

    def add(self, record: Record, attempt: Mapping[str, Any]) -> None:
        """One more."""
        self.count += 1
        self.agents[record.job.submitted_by] = None
        start, end = attempt["started_at"], attempt["finished_at"]
        self.started = start if self.started is None else min(start, self.started)
        self.finished = end if self.finished is None else max(end, self.finished)


class Graph:
    """What is to be said of jobs, gathered record by record."""

    def __init__(self) -> None:
        self._single: list[Entity] | None = []
        self._single_logs: list[File] = []
        self._single_left: list[File] = []
        self._attempts = 0
        self._groups: dict[tuple[str, str, bool], _Group] = {}
        self._software: dict[str, Entity] = {}
        self.agents: dict[str, None] = {}

    @property
    def is_one_by_one(self) -> bool:
        """Whether each attempt is described."""
        return self._single is not None

    def add(self, record: Record, logs: Sequence[File], left: Sequence[File]) -> None:
        """Add a job whose values hide what is to be hidden, with what it printed, and its artifacts."""
        self.agents[record.job.submitted_by] = None
        self._attempts += len(record.attempts)
        by_path = {log.path: log for log in logs}
        for attempt in record.attempts:
            instrument = self._instrument(record.job.workflow, attempt)
            succeeded = attempt["outcome"] == "succeeded"
            key = (record.job.workflow, instrument, succeeded)
            self._groups.setdefault(key, _Group(*key)).add(record, attempt)
            if self._single is not None:
                log = by_path.get(files.log_of(record.job.id, attempt["attempt"]))
                mine = left if attempt["attempt"] == record.job.attempt else ()
                self._single += _described(record, attempt, instrument, log, mine)
        if self._single is not None:
            self._single_logs += logs
            self._single_left += left
            if self._attempts > _MOST_ATTEMPTS or len(self._single) > _MOST_ENTITIES:
                self._single = None
                self._single_logs = []
                self._single_left = []

    def write(self, folder: Path, root: Mapping[str, Any], parts: Mapping[File, Mapping[str, Any]]) -> None:
        """Write the metadata.

        Parameters:
            root: what is to be said of the crate as a whole.
            parts: its files, and what is to be said of them; of logs, this module knows.
        """
        from rocrate.model import ContextEntity, Dataset, Metadata
        from rocrate.model import File as DataFile
        from rocrate.rocrate import ROCrate

        crate = ROCrate(version="1.1")
        assert isinstance(crate.metadata, Metadata)
        crate.metadata.extra_contexts.append(_TERMS)
        people = list(map(_person, self.agents))
        profile = {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        actions = list(self._grouped()) if self._single is None else self._single
        for entity in chain([profile], people, self._software.values(), actions):
            about = {name: value for name, value in entity.items() if name != "@id"}
            crate.add(ContextEntity(crate, entity["@id"], about))
        logs = {log: {"name": f"log of {Path(log.path).stem}"} | _TEXT for log in self._single_logs}
        left = {file: {"name": file.path.split("/", 2)[2]} for file in self._single_left}
        for file, more in chain(parts.items(), logs.items(), left.items()):
            told = {**more, "contentSize": str(file.size), "sha256": file.sha256}
            crate.add(DataFile(crate, folder / file.path, file.path, properties=told))
        summed = {"name": "checksums", "description": "SHA-256 of each file but this one."} | _TEXT
        crate.add(DataFile(crate, None, files.MANIFEST, properties=summed))
        if (folder / "logs").is_dir():
            told = {"name": "logs", "description": "What attempts printed, a file for each: JOB.ATTEMPT.txt."}
            crate.add(Dataset(crate, dest_path="logs/", properties=told))
        if (folder / "artifacts").is_dir():
            told = {"name": "artifacts", "description": "Files that jobs have registered: JOB/NAME."}
            crate.add(Dataset(crate, dest_path="artifacts/", properties=told))
        made = [{"@id": one["@id"]} for one in actions if one["@type"] == "CreateAction"]
        if isinstance(license := root["license"], dict):
            about = {"@type": "CreativeWork", "name": license["@id"]}
            crate.add(ContextEntity(crate, license["@id"], about))
        told = {**root, "conformsTo": {"@id": _PROFILE}, **_refs("author", people), **_refs("mentions", made)}
        for name, value in told.items():
            crate.root_dataset[name] = value
        crate.metadata.write(folder)

    def _instrument(self, workflow: str, attempt: Mapping[str, Any]) -> str:
        """The id of what ran: a workflow, from one origin, with one fingerprint of its source."""
        environment = attempt["environment"] or {}
        about = json.dumps([workflow, environment, attempt["code_version"]], sort_keys=True)
        made = f"#workflow-{quote(workflow, safe='')}-{hashlib.sha256(about.encode()).hexdigest()[:10]}"
        if made not in self._software:
            for entity in _software(made, workflow, environment, attempt["code_version"]):
                self._software[entity["@id"]] = entity
        return made

    def _grouped(self) -> Iterator[Entity]:
        for number, group in enumerate(self._groups.values(), 1):
            how = "successful" if group.succeeded else "unsuccessful"
            table = [{"@id": quote(files.table_of(group.workflow))}]
            yield {
                "@id": f"#attempts-{number}",
                "@type": "CreateAction",
                "name": f"{many(group.count, f'{how} attempt')} of {group.workflow}",
                "description": "attempts.parquet has a row for each of them.",
                "instrument": {"@id": group.instrument},
                **_refs("agent", map(_person, group.agents)),
                **_refs("object", table),
                "startTime": _time(group.started),
                "endTime": _time(group.finished),
                "actionStatus": _STATUS[group.succeeded],
                **_refs("result", table if group.succeeded else ()),
            }


def _described(
    record: Record, attempt: Mapping[str, Any], instrument: str, log: File | None, left: Sequence[File]
) -> Iterator[Entity]:
    """An attempt, and the values that it had and gave."""
    job, number = record.job, attempt["attempt"]
    made = f"#job-{job.id}-attempt-{number}"
    succeeded = attempt["outcome"] == "succeeded"
    given = _values(f"{made}-parameter", attempt["parameters"])
    if attempt["seed"] is not None:  # as text, since it may have more digits than a float
        given.append(_value(made, "random seed", str(attempt["seed"])))
    results = _values(f"{made}-result", job.result) if succeeded and number == job.attempt else []
    yield from given
    yield from results
    error = ": ".join(filter(None, (attempt["error_type"], attempt["error_message"])))
    yield {
        "@id": made,
        "@type": "CreateAction",
        "name": f"job {job.id}, attempt {number}: {job.workflow}",
        "description": f"Attempt {number} of job {job.id} on host {attempt['host']}: {attempt['outcome']}.",
        "instrument": {"@id": instrument},
        **_refs("agent", [_person(job.submitted_by)]),
        **_refs("object", given),
        "startTime": _time(attempt["started_at"]),
        "endTime": _time(attempt["finished_at"]),
        "actionStatus": _STATUS[succeeded],
        **({"location": attempt["host"]} if attempt["host"] else {}),
        **_refs("result", [*results, *({"@id": quote(one.path)} for one in left)]),
        **({} if succeeded else {"error": _short(error or attempt["cause"] or attempt["outcome"])}),
        **({"subjectOf": {"@id": log.path}} if log else {}),
    }


def _values(made: str, stored: Any) -> list[Entity]:
    """All parameters, or all fields of a result; one that has no fields is called so itself."""
    value = plain(stored)
    named = value if isinstance(value, dict) else {"result": value}
    return [_value(made, name, one) for name, one in named.items()]


def _value(made: str, name: str, value: Any) -> Entity:
    """A plain value. What is no number or text is JSON; what is too long is in the tables."""
    infinite = isinstance(value, float) and not math.isfinite(value)
    if infinite or not isinstance(value, str | int | float | bool):
        value = json.dumps(value)
    entity = {"@id": f"{made}-{quote(name, safe='')}", "@type": "PropertyValue", "name": name}
    if isinstance(value, str) and len(value) > _LONGEST:
        return entity | {"description": f"{len(value):,} characters: see the tables"}
    return entity | {"value": value}


def _software(
    made: str, workflow: str, environment: Mapping[str, Any], code_version: str | None
) -> Iterator[Entity]:
    """A workflow, the code it is from, and what that ran with."""
    modules = environment.get("modules")
    needs = [
        _program("Python", _text(environment, "python"), url="https://www.python.org/"),
        _program("simcelery", _text(environment, "simcelery")),
    ]
    code = list(_code(environment))
    properties = _properties(
        made,
        {
            "fingerprint of the source": _text(environment, "source") or code_version,
            "loaded modules": ", ".join(map(str, modules)) if isinstance(modules, list) else None,
        },
    )
    yield from (*needs, *code, *properties)
    yield {
        "@id": made,
        "@type": "SoftwareApplication",
        "name": workflow,
        "softwareVersion": _version(environment) or code_version or "unknown",
        **_refs("softwareRequirements", [*needs, *code[-1:]]),
        **_refs("additionalProperty", properties),
    }


def _program(name: str, version: str | None, **more: str) -> Entity:
    version = version or "unknown"
    about = {"@id": f"#{name.lower()}-{quote(version)}", "@type": "SoftwareApplication", "name": name}
    return {**about, "softwareVersion": version, **more}


def _code(environment: Mapping[str, Any]) -> Iterator[Entity]:
    """The package or repository that a workflow is from, if it is known; what is known of it comes before."""
    lock = environment.get("lock")
    lock = lock if isinstance(lock, dict) else {}
    dirty = environment.get("dirty")
    told = {
        "git commit": _text(environment, "commit"),
        "differs from the commit": ("yes" if dirty else "no") if isinstance(dirty, bool) else None,
        "lock file": _text(lock, "file"),
        "sha256 of the lock file": _text(lock, "sha256"),
        "folder": _text(environment, "tree"),
    }
    package, repository = _text(environment, "package"), _text(environment, "repository")
    if not (package or any(told.values())):
        return
    about = json.dumps([package, _version(environment), repository, told])
    made = f"#code-{hashlib.sha256(about.encode()).hexdigest()[:10]}"
    properties = _properties(made, told)
    yield from properties
    yield {
        "@id": made,
        "@type": "SoftwareSourceCode",
        "name": package or "code",
        "version": told["git commit"] or _version(environment) or "unknown",
        "programmingLanguage": "Python",
        **({"codeRepository": repository} if repository else {}),
        **_refs("additionalProperty", properties),
    }


def _version(environment: Mapping[str, Any]) -> str | None:
    """Of the package; of what is in none, the commit."""
    return _text(environment, "version") or _text(environment, "commit")


def _text(told: Mapping[str, Any], name: str) -> str | None:
    """What a worker has told, if it is text."""
    found = told.get(name)
    return found if isinstance(found, str) else None


def _properties(made: str, told: Mapping[str, str | None]) -> list[Entity]:
    """What there is no word for in the vocabulary."""
    return [
        {"@id": f"{made}-{quote(name)}", "@type": "PropertyValue", "name": name, "value": value}
        for name, value in told.items()
        if value
    ]


def _person(name: str) -> Entity:
    return {"@id": f"#submitter-{quote(name, safe='')}", "@type": "Person", "name": name}


def _refs(name: str, entities: Iterable[Entity]) -> Entity:
    """A property that refers to them; nothing where there are none."""
    found = [{"@id": one["@id"]} for one in entities]
    return {name: found if len(found) > 1 else found[0]} if found else {}


def _time(moment: dt.datetime | None) -> str:
    """ISO 8601 with milliseconds, as those who read such metadata expect it; the tables have all digits."""
    assert moment is not None, "each attempt that has ended has begun"
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
