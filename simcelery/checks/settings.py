"""Check the settings, and the workflows that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simcelery.checks.check import Check
from simcelery.errors import SimceleryError
from simcelery.urls import masked

if TYPE_CHECKING:
    from simcelery.settings import Settings


def of_variables() -> Iterator[Check]:
    """Check for misspelt environment variables."""
    from simcelery.variables import unknown

    for found in unknown():
        yield Check("environment", "warn", found, "correct or unset it: it has no effect")


def of_settings(settings: Settings) -> Iterator[Check]:
    """Where the settings, the home and the servers are."""
    from simcelery.settings import find_settings_file

    file = find_settings_file()
    yield Check("settings", "ok", str(file) if file else "no simcelery.toml here or in a parent: defaults")
    yield Check("home", "ok", f"{settings.home}{'' if settings.home.is_dir() else ' (does not exist yet)'}")
    for name, url in (("database_url", settings.board_url), ("broker_url", settings.redis_url)):
        try:
            yield Check(name, "ok", f"{masked(url())} ({_source(settings, name)})")
        except SimceleryError as error:
            yield Check(name, "FAIL", "none", str(error), exit_code=3)


def _source(settings: Settings, name: str) -> str:
    """Where a URL comes from."""
    value = getattr(settings, name)
    if value is None:
        return "the embedded server"
    if os.environ.get(f"SIMCELERY_{name.upper()}") == value.get_secret_value():
        return f"SIMCELERY_{name.upper()}"
    return "simcelery.toml or a flag"


def of_workflows(settings: Settings) -> Iterator[Check]:
    """Whether all modules of workflows import here."""
    from simcelery.workflows import registry

    for module, error in registry.load(settings).items():
        yield Check("workflows", "FAIL", f"cannot import module {module!r}", str(error)[len("workflows: ") :])
    names = [known.name for known in registry.definitions()]
    own = [name for name in names if name not in ("command", "function") and not name.startswith("emt.")]
    advice = "" if own else 'add your modules to simcelery.toml: workflows = ["my_project.relax"]'
    yield Check("workflows", "ok", f"{len(names)} found here, {len(own)} of them yours", advice)
