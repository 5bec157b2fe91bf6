"""A job, its story, the reasons why it does not run, a workflow, the checks: as plain data and in words.

The command line renders it, and whatever else shows jobs to people may. Nothing here parses, renders or
speaks SQL: what the board says is read through its queries.
"""
