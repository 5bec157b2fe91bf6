"""Where the code of a workflow came from, in what is known of the environment that it ran in."""

from __future__ import annotations

from typing import Any


def of_workflow(details: Any, workflow: str) -> dict[str, Any] | None:
    """What concerns one workflow in an environment; see `workflows.origin.collect`."""
    if not isinstance(details, dict):
        return None
    about = _part(_part(details, "workflows"), workflow)
    tree = _part(_part(details, "trees"), str(about.get("tree")))
    return {
        **{name: details.get(name) for name in ("python", "simcelery")},
        **{name: about.get(name) for name in ("package", "version", "source", "tree")},
        **{name: tree.get(name) for name in ("repository", "commit", "dirty", "lock")},
        "modules": details.get("modules"),
    }


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    found = whole.get(name)
    return found if isinstance(found, dict) else {}
