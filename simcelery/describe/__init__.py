"""Describe jobs, why they are not running, and workflows, as plain data and in words.

Handles show these descriptions in Python and the command line renders them; anything else that shows jobs to
people may do so. Nothing here parses, renders or contains SQL; the board is read through its own queries.
"""
