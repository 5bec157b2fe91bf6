"""Launchers: start workers on this machine or through a scheduler. The command line calls it. Empty so far."""
