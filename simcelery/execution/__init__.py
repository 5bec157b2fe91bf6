"""On the node: the job's folder, the command it runs, its log and the resources it uses.

Knows neither the board nor Celery; the worker calls it.
"""
