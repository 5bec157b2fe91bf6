"""Our own style sheets and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tornado.web import Application, StaticFileHandler


class Assets(StaticFileHandler):
    """They hold nothing secret, so anybody may read them, as Flower's own."""

    PLACE: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).parent / "assets")}

    def set_extra_headers(self, path: str) -> None:
        """No browser takes them for something else."""
        self.set_header("X-Content-Type-Options", "nosniff")


def address(application: Application, name: str) -> str:
    """Where one of them is; another one once it has changed."""
    version = Assets.get_version({"static_path": Assets.PLACE["path"]}, name)
    return f"{application.reverse_url('board_assets', name)}?v={version}"
