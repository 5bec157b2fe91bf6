"""What a workflow may learn and report about the job that runs it, and what it saves to go on from.

Clients import this package, too: in a plain call of a workflow it does nothing, and costs nothing.
"""

from simcelery.worker.context.job import CurrentJob, artifact, current_claim, current_job, enter, step

__all__ = ["CurrentJob", "artifact", "current_claim", "current_job", "enter", "step"]
