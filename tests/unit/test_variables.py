"""Environment variables that are misspelt settings are named; those that mean something are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simcelery.checks.everything import examine
from simcelery.variables import KNOWN, unknown

ROOT = Path(__file__).parents[2]
READ_BY_PEOPLE = ("docker-compose.yml", "flower.conf", "docker/**/*", "Makefile")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "SIMCELERY_DATABSE_URL",
            "SIMCELERY_DATABSE_URL is not a setting; did you mean SIMCELERY_DATABASE_URL?",
        ),
        ("SIMCELERY_LEASES", "SIMCELERY_LEASES is not a setting; did you mean SIMCELERY_LEASE?"),
        ("simcelery_work_flows", "simcelery_work_flows is not a setting; did you mean SIMCELERY_WORKFLOWS?"),
        ("SIMCELERY_DEBUGGING", "SIMCELERY_DEBUGGING is not a setting; did you mean SIMCELERY_DEBUG?"),
        ("SIMCELERY_COLOUR_OF_BARS", "SIMCELERY_COLOUR_OF_BARS is not a setting"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_setting(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert [*unknown()] == [said]
    [check] = [check for check in examine() if check.name == "environment"]
    assert (check.verdict, check.found) == ("warn", said)


def test_known_empty_and_other_variables_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KNOWN, "simcelery_home", "_SIMCELERY_COMPLETE", "MY_SIMCELERY_LEASES"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SIMCELERY_LEASES", "")
    assert [*unknown()] == []


def test_all_variables_that_the_project_reads_or_sets_are_known() -> None:
    files = [
        *(ROOT / "simcelery").rglob("*.py"),
        *(path for one in READ_BY_PEOPLE for path in ROOT.glob(one) if path.is_file()),
    ]
    text = "\n".join(path.read_text() for path in files)
    used = set(re.findall(r"(?<![A-Z_])SIMCELERY_[A-Z][A-Z_]*[A-Z]\b", text))
    assert len(used) > 20
    assert used <= KNOWN
