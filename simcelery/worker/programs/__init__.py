"""Running programs within an attempt: their input, whether they have worked, and what they wrote."""

from simcelery.worker.programs.codes import code
from simcelery.worker.programs.handlers import Handler
from simcelery.worker.programs.result import CommandResult
from simcelery.worker.programs.running import SECRETS, SetupOnly, WouldOverwriteError, run_command
from simcelery.worker.programs.verdict import CommandError

__all__ = [
    "SECRETS",
    "CommandError",
    "CommandResult",
    "Handler",
    "SetupOnly",
    "WouldOverwriteError",
    "code",
    "run_command",
]
