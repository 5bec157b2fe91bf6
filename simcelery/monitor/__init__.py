"""The web monitor: Flower, with a tab for the board.

Flower shows workers and messages as long as it has watched them; the tab shows the record, so nothing of it
is lost when Flower restarts. ``flower.conf`` calls `flower_options` and `install`; nobody else calls anything
here, except for the verb ``monitor``. A page is a handler and its templates; what it shows comes from
`board.reads`, `describe` and `checks`, which the command line uses, too.
"""

from simcelery.monitor.installing import install
from simcelery.monitor.options import flower_options

__all__ = ["flower_options", "install"]
