"""4 THE WORKER: what `celery -A simcelery worker` does with a wake-up call: claim, run, finish.

Owns the Celery task class, the result backend, the request, the lease, `current_job` and the
bootsteps that add all this to a stock worker. `simcelery.celery` puts the parts together.
"""
