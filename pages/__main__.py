"""``python -m pages [pictures]``: write what is generated into ``docs/``."""

from __future__ import annotations

import sys
from pathlib import Path

from pages import api, commands, pictures

DOCS = Path(__file__).parents[1] / "docs"

if sys.argv[1:] == ["pictures"]:
    pictures.record(DOCS / "pictures")
else:
    for name, page in (("commands", commands.page()), ("api", api.page())):
        (DOCS / f"{name}.md").write_text(page)
