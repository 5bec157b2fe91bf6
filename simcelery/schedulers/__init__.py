"""Batch schedulers, as far as workers are started through them: submit, look, cancel.

A file for each (`slurm`, `pbs`, `sge`, and `local` for this host without one), behind what `scheduler` asks
of them; `launchers` has them by name. They start the commands that the site offers, and believe only what
these say: an answer that does not come, or cannot be read, is `Unknown`, and never the end of a job.

Knows neither the board nor Celery, and decides nothing: who may call it is what looks after clusters.
"""
