"""1 SUBMIT: parameters become jobs, recorded on the board first and published after the commit.

Owns what a client does: submitting one or many, sweeps, Celery canvases turned into jobs, and the
handles that read jobs back. The public API, the worker (for jobs that submit jobs) and the command
line call it.
"""
