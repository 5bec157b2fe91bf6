"""Launchers: start workers here or through a scheduler. The command line calls it. Empty so far."""
