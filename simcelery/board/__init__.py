"""2 THE BOARD: the permanent record in Postgres. About jobs, only the board is right.

Owns the schema, every SQL statement and every transition. The only package that imports SQLAlchemy,
Alembic or psycopg. Takes and returns plain JSON data; knows nothing of Celery, Redis or the command line.
Submission, the worker, recovery and the command line call it, always inside `engine.begin`.
"""
