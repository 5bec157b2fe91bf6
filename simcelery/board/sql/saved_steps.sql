SELECT name, key, code, given, attempt, seconds, saved_at FROM steps
WHERE job_id = %(job_id)s ORDER BY attempt, saved_at, name, key
