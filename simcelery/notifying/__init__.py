"""Telling people how their jobs are: addresses, what they are sent, and the sending itself.

Knows neither the board nor its jobs: `maintenance` says what is sent to whom, and notes what became of it.
"""
