"""What tells a worker from another that was ever given its number; and no attempt ends before it began."""

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMN = "ALTER TABLE workers ADD COLUMN registration UUID DEFAULT gen_random_uuid() NOT NULL"

# As in 0005. The number alone does not say who claims: a board that was restored gives it out again.
CLAIM = """
CREATE FUNCTION claim_jobs(
    p_task_id uuid, p_workflow text, p_claim_id uuid, p_worker_id bigint, p_pid integer,
    p_queue text, p_least integer, p_more integer, p_registration uuid
) RETURNS SETOF jobs LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM workers WHERE id = p_worker_id AND registration = p_registration
            AND ended_at IS NULL AND lease_expires_at > now()
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE jobs
        SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
            claim_id = p_claim_id, started_at = now(), progress = NULL
        WHERE task_id = p_task_id AND workflow || '' = p_workflow AND state || '' = 'pending'
            AND cancel_requested_at IS NULL
        RETURNING jobs.*;
    IF NOT FOUND THEN
        RETURN QUERY
            WITH sent AS MATERIALIZED (
                SELECT id, priority, 1 AS rank FROM jobs
                WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                    AND state = 'pending' AND published_at IS NOT NULL
                ORDER BY priority DESC, published_at
                LIMIT 1 FOR UPDATE SKIP LOCKED
            ),
            unsent AS MATERIALIZED (
                SELECT id, priority, 2 AS rank FROM jobs
                WHERE queue = p_queue AND workflow = p_workflow AND priority >= p_least
                    AND state = 'pending' AND published_at IS NULL
                ORDER BY priority DESC, id
                LIMIT 1 FOR UPDATE SKIP LOCKED
            ),
            chosen AS (
                SELECT id FROM (TABLE sent UNION ALL TABLE unsent) AS found
                ORDER BY priority DESC, rank LIMIT 1
            )
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = gen_random_uuid(), started_at = now(), progress = NULL
            FROM chosen WHERE jobs.id = chosen.id AND state || '' = 'pending'
            RETURNING jobs.*;
    END IF;
    IF FOUND AND p_more > 0 THEN
        RETURN QUERY
            WITH chosen AS MATERIALIZED (
                SELECT id, pg_column_size(parameters) AS size FROM jobs
                WHERE workflow = p_workflow AND queue = p_queue AND state = 'pending' AND losses = 0
                    AND time_limit IS NULL AND soft_time_limit IS NULL
                    AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
                ORDER BY priority DESC, id
                LIMIT p_more FOR UPDATE SKIP LOCKED
            ),
            fitting AS (
                SELECT id FROM (
                    SELECT id, sum(size) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM chosen
                ) AS summed
                WHERE total < 4194304
            )
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = gen_random_uuid(), started_at = now(), progress = NULL
            FROM fitting WHERE jobs.id = fitting.id AND state || '' = 'pending'
            RETURNING jobs.*;
    END IF;
END
$$
"""

# As in 0006. A clock that was set back meanwhile is behind the beginning, which then moves to now.
FINISH = """
CREATE OR REPLACE FUNCTION finish_jobs(p_outcomes jsonb) RETURNS SETOF bigint LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
BEGIN
    PERFORM FROM jobs
        WHERE id = ANY (ARRAY(SELECT id FROM jsonb_to_recordset(p_outcomes) AS given(id bigint)))
        ORDER BY id FOR UPDATE;
    RETURN QUERY
        WITH given AS (
            SELECT * FROM jsonb_to_recordset(p_outcomes) AS given(
                id bigint, claim_id uuid, result jsonb, waited float8, ago float8, cpu_seconds float8,
                peak_memory bigint, workdir text, code_version text, log text, seed bigint
            )
        ),
        done AS (
            UPDATE jobs
            SET state = 'succeeded', result = given.result, error_type = NULL, error_message = NULL,
                started_at = least(started_at + make_interval(secs => given.waited), now()),
                finished_at = greatest(
                    least(started_at + make_interval(secs => given.waited), now()),
                    now() - make_interval(secs => given.ago)
                )
            FROM given
            WHERE jobs.id = given.id AND jobs.claim_id = given.claim_id AND state || '' = 'running'
                AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
            RETURNING jobs.id, attempt, jobs.claim_id, worker_id, pid, started_at, finished_at,
                given.cpu_seconds, given.peak_memory, given.workdir, given.code_version, given.log,
                given.seed
        ),
        written AS (
            INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, nodename, host, pid,
                scheduler_job_id, started_at, finished_at, cpu_seconds, peak_memory, workdir, code_version,
                seed)
            SELECT done.id, attempt, claim_id, 'succeeded', worker_id, nodename, host,
                done.pid, scheduler_job_id, done.started_at, finished_at, cpu_seconds, peak_memory, workdir,
                code_version, seed
            FROM done LEFT JOIN workers ON workers.id = worker_id
        ),
        logged AS (
            INSERT INTO log_chunks (job_id, attempt, seq, text)
            SELECT id, attempt, (SELECT coalesce(max(seq), 0) + 1 FROM log_chunks AS earlier
                                 WHERE earlier.job_id = done.id AND earlier.attempt = done.attempt), log
            FROM done WHERE log <> ''
        )
        SELECT id FROM done;
END
$$
"""


def upgrade() -> None:
    for statement in (COLUMN, "DROP FUNCTION claim_jobs", CLAIM, FINISH):
        op.execute(statement)
