"""A part of a page by itself, as it is sent when it has changed."""

from __future__ import annotations

from typing import Any

from simcelery.monitor.page import namespace_of


def part(application: Any, name: str, **given: Any) -> str:
    """One of the templates in ``board/``, without a page around it."""
    template = application.settings["template_loader"].load(f"board/{name}.html")
    made: bytes = template.generate(**namespace_of(application), **given)
    return made.decode()
