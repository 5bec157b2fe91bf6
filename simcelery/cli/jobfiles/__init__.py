"""Job files: a submission, or many, written down in TOML, YAML or JSON.

`reading` makes plain values of a file, `entries` makes of them what ``submit`` takes from the command line,
and `echo` writes a submission as such a file. Used by the verbs ``submit`` and ``run``.
"""
