"""Templates: ours beside Flower's, which need not be copied.

Ours escape all that they show, and replace what could steer a reader's eye: names, parameters, errors and
logs come from whoever may submit or run a job.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tornado.escape import xhtml_escape
from tornado.template import BaseLoader, Template

from simcelery.describe import words
from simcelery.readable import readable

log = logging.getLogger(__name__)

OURS = Path(__file__).parent / "templates"
# The end of the list of Flower's own tabs.
_END_OF_TABS = re.compile(r"(?=</ul>)")
_TAB = "board/tab.html"


class Templates(BaseLoader):
    """Those in ``templates/board`` are ours and are named ``board/…``; all others are Flower's."""

    def __init__(self, flowers: Path) -> None:
        super().__init__(namespace={"shown": shown, "words": words})
        self._flowers = flowers

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """Names are whole: one that a template names means the same everywhere."""
        return name

    def _create_template(self, name: str) -> Template:
        if name.startswith("board/"):
            return Template((OURS / name).read_text(encoding="utf-8"), name, self, autoescape="shown")
        text = (self._flowers / name).read_text(encoding="utf-8")
        return Template(_with_tab(text) if name == "navbar.html" else text, name, self)


def _with_tab(navigation: str) -> str:
    """Flower's navigation with our tab behind its own."""
    found, number = _END_OF_TABS.subn(f'{{% include "{_TAB}" %}}', navigation, count=1)
    if not number:
        log.warning("the navigation of this Flower is not as expected: the board is at /board all the same")
    return found


def shown(value: bytes | str) -> str:
    """A text as a part of a page; templates have it in UTF-8."""
    return xhtml_escape(readable(value.decode() if isinstance(value, bytes) else value))
