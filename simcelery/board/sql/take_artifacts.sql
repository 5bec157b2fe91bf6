-- What is nobody's any more, to be deleted where it is stored; whoever takes it has ten minutes.
UPDATE artifacts SET next_at = now() + interval '10 minutes'
WHERE id IN (
    SELECT id FROM artifacts
    WHERE job_id IS NULL AND coalesce(next_at, '-infinity') <= now()
    ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
RETURNING id, url
