"""Clusters: workers where the cores are, started through a scheduler.

`profile` says how, `script` is what a batch job runs, and `environment` what it needs of the environment of
whoever submits it. `rounds` keeps as many allocations as are wanted.
"""
