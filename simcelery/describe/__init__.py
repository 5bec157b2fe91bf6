"""Describe jobs, why they are not running, workflows and ``doctor``'s checks, as plain data and in words.

The command line renders these descriptions, and anything else that shows jobs to people may do so. Nothing
here parses, renders or contains SQL; the board is read through its own queries.
"""
