-- What was computed with the old parameters must not end up as the new ones' result: neither what an attempt
-- that was given up still reports (no claim fits any more), nor what it has saved to go on from.
WITH given AS (
    SELECT * FROM unnest(
        CAST(%(ids)s AS bigint[]), CAST(%(changes)s AS text[]), CAST(%(keys)s AS text[])
    ) AS listed(id, changes, key)
), kept AS (
    INSERT INTO revisions (job_id, revision, parameters, last_attempt, revised_by)
    SELECT id, 1 + (SELECT count(*) FROM revisions WHERE job_id = jobs.id), parameters, attempt, %(by)s
    FROM given JOIN jobs USING (id)
), forgotten AS (
    DELETE FROM steps WHERE job_id = ANY(CAST(%(ids)s AS bigint[]))
)
UPDATE jobs SET parameters = parameters || CAST(changes AS jsonb),
    idempotency_key = coalesce(key, idempotency_key),
    claim_id = NULL, worker_id = NULL, pid = NULL, checkpoint = NULL
FROM given WHERE jobs.id = given.id
