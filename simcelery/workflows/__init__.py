"""WHAT can run: definitions, their parameters, their outcomes and the registry.

Owns the translation between Python values and what the board stores. Knows neither the board nor
the broker; submission, the worker and the command line call it.
"""
