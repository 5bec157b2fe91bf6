"""2 THE BOARD: the permanent record in Postgres and the only truth about jobs.

Owns the schema, every SQL statement and every transition. The only package that imports SQLAlchemy,
Alembic or psycopg. Takes and returns plain JSON data; knows no Celery, Redis or command line.
Submission, the worker, recovery and the command line call it, always inside `engine.begin`.
"""
