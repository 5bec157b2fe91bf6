-- What was computed with the old parameters must not end up as the new ones' result: neither what an attempt
-- that was given up still reports (no claim fits any more), nor what it has saved to go on from.
--
-- The changes and keys are objects by job id: whatever Postgres believes, it has no join to get wrong.
WITH kept AS (
    INSERT INTO revisions (job_id, revision, parameters, last_attempt, revised_by)
    SELECT id, 1 + (SELECT count(*) FROM revisions WHERE job_id = jobs.id), parameters, attempt, %(by)s
    FROM jobs WHERE id = ANY(CAST(%(ids)s AS bigint[]))
)
UPDATE jobs SET parameters = parameters || (CAST(%(changes)s AS jsonb) -> CAST(id AS text)),
    idempotency_key = coalesce(CAST(%(keys)s AS jsonb) ->> CAST(id AS text), idempotency_key),
    claim_id = NULL, worker_id = NULL, pid = NULL
WHERE id = ANY(CAST(%(ids)s AS bigint[]))
