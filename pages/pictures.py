"""x"""

from pathlib import Path


def record(folder: Path) -> None: ...
