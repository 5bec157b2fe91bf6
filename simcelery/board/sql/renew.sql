-- Renew a worker's lease, and tell the worker what it has to know: in one row for each job that runs in it according to
-- the board or that it asks about, or in one with nulls where there is none.
WITH renewed AS (
    UPDATE workers SET
        renewed_at = now(),
        lease_expires_at = now() + make_interval(secs => %(lease)s),
        ends_at = now() + make_interval(secs => %(left)s),
        steady_since = CASE
            WHEN now() - renewed_at > make_interval(secs => %(gap)s) OR lease_expires_at <= now() THEN now()
            ELSE least(steady_since, now())
        END,
        succeeded = CASE WHEN jsonb_typeof(succeeded) = 'object' THEN succeeded ELSE '{}' END || (
            SELECT coalesce(jsonb_object_agg(name, now()), '{}')
            FROM unnest(CAST(%(succeeded)s AS text[])) AS listed(name)
        )
    WHERE id = %(worker_id)s AND registration = %(key)s AND ended_at IS NULL
    RETURNING id
), told AS (
    SELECT
        EXISTS (SELECT FROM renewed) AS known,
        (SELECT version_num FROM alembic_version) AS revision,
        -- By whomever: which are for this worker is asked when there are any.
        EXISTS (SELECT FROM file_requests WHERE answered_by IS NULL) AS files_asked,
        EXISTS (SELECT FROM workdirs WHERE done IS NULL AND next_at <= now()) AS workdirs_due
), accounts AS (
    -- Two questions, each answered by an index: one with OR would depend on the planner's mood.
    SELECT id, task_id, claim_id, attempt, state, pid, worker_id, cancel_requested_at IS NOT NULL AS cancel_requested
    FROM jobs WHERE state = 'running' AND worker_id = %(worker_id)s
    UNION
    SELECT id, task_id, claim_id, attempt, state, pid, worker_id, cancel_requested_at IS NOT NULL
    FROM jobs WHERE id = ANY(CAST(%(job_ids)s AS bigint[]))
)
SELECT told.*, accounts.* FROM told LEFT JOIN accounts ON claim_id IS NOT NULL ORDER BY accounts.id
