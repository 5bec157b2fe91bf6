-- Renew a worker's lease, and tell the worker what it has to know: in one row for each job that runs in it according to
-- the board or that it asks about, or in one with nulls where there is none.
--
-- For the settings see finish_attempts.
CREATE OR REPLACE FUNCTION renew_lease(
    p_worker_id bigint, p_key uuid, p_lease float8, p_left float8, p_gap float8, p_succeeded text[], p_job_ids bigint[]
) RETURNS TABLE (
    known boolean, revision text, files_asked boolean, workdirs_due boolean,
    id bigint, task_id uuid, claim_id uuid, attempt integer, state text, pid bigint, worker_id bigint,
    cancel_requested boolean
) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH renewed AS (
            UPDATE workers SET
                renewed_at = now(),
                lease_expires_at = now() + make_interval(secs => p_lease),
                ends_at = now() + make_interval(secs => p_left),
                steady_since = CASE
                    WHEN renewed_at < now() - make_interval(secs => p_gap) OR lease_expires_at <= now() THEN now()
                    ELSE least(steady_since, now())
                END,
                succeeded = CASE WHEN jsonb_typeof(succeeded) = 'object' THEN succeeded ELSE '{}' END || (
                    SELECT coalesce(jsonb_object_agg(name, now()), '{}') FROM unnest(p_succeeded) AS listed(name)
                )
            WHERE id = p_worker_id AND registration = p_key AND ended_at IS NULL
            RETURNING id
        ), told AS (
            SELECT
                EXISTS (SELECT FROM renewed) AS known,
                (SELECT version_num::text FROM alembic_version) AS revision,
                -- By whomever: which are for this worker is asked when there are any.
                EXISTS (SELECT FROM file_requests WHERE answered_by IS NULL) AS files_asked,
                EXISTS (SELECT FROM workdirs WHERE done IS NULL AND next_at <= now()) AS workdirs_due
        ), accounts AS (
            -- Two questions, each answered by an index: one with OR would depend on the planner's mood. Nor may it
            -- think that any index will do, while the board is empty: only that of what runs has this order.
            SELECT * FROM (
                SELECT id, task_id, claim_id, attempt, state, pid, worker_id,
                    cancel_requested_at IS NOT NULL AS cancel_requested
                FROM jobs WHERE state = 'running' AND worker_id BETWEEN p_worker_id AND p_worker_id
                ORDER BY worker_id OFFSET 0
            ) AS running
            UNION
            SELECT id, task_id, claim_id, attempt, state, pid, worker_id, cancel_requested_at IS NOT NULL
            FROM jobs WHERE id = ANY (p_job_ids)
        )
        SELECT told.*, accounts.* FROM told LEFT JOIN accounts ON claim_id IS NOT NULL ORDER BY accounts.id;
END
$$
