"""The files for Prometheus and Grafana: valid, and each alert begins when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "docker"
ALERTS = FOLDER / "prometheus" / "alerts.yml"
TESTS = FOLDER / "prometheus" / "alerts_test.yml"
BOARD = json.loads((FOLDER / "grafana" / "simcelery.json").read_text())
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *words], cwd=FOLDER / "prometheus", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


@needs_promtool
def test_they_are_what_prometheus_understands() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", "--syntax-only", "prometheus.yml")


@needs_promtool
def test_alerts_begin_when_they_should_and_only_then() -> None:
    promtool("test", "rules", TESTS)


def test_no_alert_is_without_a_test_and_without_words() -> None:
    tested = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    assert {rule["alert"] for rule in RULES} == tested
    for rule in RULES:
        assert {"summary", "description"} == set(rule["annotations"])
        assert rule["labels"]["severity"] in ("warning", "critical")


@needs_promtool
def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    asked = [expression.replace("$", "") for panel in BOARD["panels"] for expression in expressions(panel)]
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "asked.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_is_for_any_prometheus_and_any_board() -> None:
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["source", "job", "queue"]
    for panel in BOARD["panels"]:
        assert panel["datasource"]["uid"] == "${source}"
        for expression in expressions(panel):
            assert expression.count('job="$job"') == expression.count("simcelery_"), expression
