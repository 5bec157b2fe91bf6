"""Rules for what the next attempt gets: what is taken, and what is refused in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simcelery import escalation
from simcelery.cli import escalations
from simcelery.errors import DefinitionError, ParametersError, UsageError
from simcelery.needs import Needs, asked
from simcelery.submission.options import Options
from simcelery.submission.submit import prepare
from simcelery.workflows.definition import Definition
from tests.unit.names import stable

GIB = 2**30
RULES = {
    "out_of_memory": {"memory": "x2", "max": "64G", "queue": "himem"},
    "time_limit": {"time_limit": "x1.5", "max": "24h"},
    "walltime": {"queue": "long"},
}


def simulate(steps: int = 1) -> int:
    return steps


def test_rules_are_kept_as_numbers() -> None:
    assert json.loads(escalation.checked(RULES) or "") == {
        "out_of_memory": {"memory": 2.0, "max": 64 * GIB, "queue": "himem"},
        "time_limit": {"time_limit": 1.5, "max": 86400.0},
        "walltime": {"queue": "long"},
    }
    assert escalation.checked(None) is None


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("out_of_memory", "must name causes"),
        ({}, "must name causes"),
        ({"error": {"queue": "x"}}, "there is no cause 'error'"),
        ({"walltime": {}}, "does not say what changes"),
        ({"walltime": "long"}, "does not say what changes"),
        ({"walltime": {"memory": "x2", "max": "8G"}}, "there is no 'memory'; there are: queue"),
        ({"walltime": {"queue": ""}}, "is not printable text"),
        ({"out_of_memory": {"memory": "x2"}}, "belong together"),
        ({"out_of_memory": {"max": "8G"}}, "belong together"),
        ({"out_of_memory": {"memory": "2", "max": "8G"}}, "must be a factor"),
        ({"out_of_memory": {"memory": "x1", "max": "8G"}}, "must be a factor"),
        ({"out_of_memory": {"memory": "x1000", "max": "8G"}}, "must be a factor"),
        ({"out_of_memory": {"memory": "x2", "max": "lots"}}, "max: 'lots' is not a size"),
        ({"out_of_memory": {"memory": "x2", "max": 0}}, "more than nothing"),
        ({"time_limit": {"time_limit": "x2", "max": "soon"}}, "max: 'soon' is not a duration"),
    ],
    ids=stable,
)
def test_what_no_rule_can_be_is_one_line(on: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=r"^workflow .*on") as caught:
        Definition(simulate, memory="4G", on=on)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ParametersError, match=r"^on"):
        Options(on=on)


def test_a_submission_replaces_the_rule_for_a_cause_and_leaves_the_others() -> None:
    usual = asked(memory="4G", on=RULES)
    now = asked(on={"walltime": {"queue": "night"}}).over(usual)
    assert now.memory == 4 * GIB
    assert json.loads(now.escalation or "") == json.loads(usual.escalation or "") | {
        "walltime": {"queue": "night"}
    }
    assert Needs().over(usual) == usual


def test_what_is_to_grow_must_be_there() -> None:
    definition = Definition(simulate, on={"out_of_memory": RULES["out_of_memory"]})
    with pytest.raises(ParametersError, match="memory cannot grow, since the job asks for none"):
        prepare(definition, {}, Options())
    assert prepare(definition, {}, Options(memory="1G")).needs is not None
    with pytest.raises(ParametersError, match="time_limit cannot grow"):
        prepare(Definition(simulate), {}, Options(on={"time_limit": RULES["time_limit"]}))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"memory": "65G"}, "memory"),
        ({"time_limit": "25h"}, "time_limit"),
        ({"on": {"out_of_memory": {"memory": "x2", "max": "3G"}}}, "memory"),
    ],
    ids=stable,
)
def test_its_most_must_not_be_less_than_what_the_job_begins_with(options: dict[str, Any], name: str) -> None:
    definition = Definition(simulate, memory="4G", time_limit="1h", on=RULES)
    with pytest.raises(ParametersError, match=f"max is less than the {name} that the job asks for"):
        prepare(definition, {}, Options(**options))
    assert prepare(definition, {}, Options(memory="64G", time_limit="24h")).needs is not None


def test_options_of_the_command_line_name_parts() -> None:
    chosen = {
        "on_oom": ("memory=x2, max=64G", "queue=himem"),
        "on_time_limit": (),
        "on_walltime": ("queue=long",),
        "tags": (),
    }
    assert escalations.asked(chosen) == {
        "out_of_memory": {"memory": "x2", "max": "64G", "queue": "himem"},
        "walltime": {"queue": "long"},
    }
    assert chosen == {"tags": ()}
    assert escalations.asked({}) is None
    for text in ("memory", "memory=", "memory=x2,", ""):
        with pytest.raises(UsageError, match="is not NAME=VALUE"):
            escalations.asked({"on_oom": (text,)})
    for parts in (("memory=x2,max=1G", "memory=x3"), ("memory=x2,max=1G,max=2G",)):
        with pytest.raises(UsageError, match=r"--on-oom: (memory|max) is given twice"):
            escalations.asked({"on_oom": parts})
