"""``--startup module:function``: called once in each pool child, before its first job."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib import import_module

from simcelery.worker.parent.refusals import refuse

# Seconds that it may take: a large model is loaded, a library compiles its kernels.
LONGEST = 3600


def named(text: str) -> Callable[[], object]:
    """A function that calls the one named by `text`, which is imported only in the child.

    What it sets up, such as a device, may not survive a fork.

    Raises:
        SystemExit: `text` is not ``module:function``, or there is no such module.
    """
    module, _, function = text.partition(":")
    if not module or not function.isidentifier():
        refuse(f"--startup {text!r}: write module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None:
        refuse(f"--startup {text!r}: there is no module {module!r} that can be imported from here")
    return lambda: getattr(import_module(module), function)()
