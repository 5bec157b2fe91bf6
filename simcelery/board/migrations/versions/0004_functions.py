"""Claim and finish as functions: Postgres plans their statements once per connection, not once per job.

A prepared statement would do the same, but not behind every PgBouncer.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

# A plan may be made while the board is empty and live until it holds a million jobs. So only those that suit
# a large board are allowed: into an index, row by row; and no condition with `|| ''` is looked up in an
# index, which may seem as good as that of the ids while there is nothing in either. Nor are they compiled
# (jit): on a large board that would happen at every call, and last longer than the statement.
SETTINGS = """
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
"""

# The job that the message names, then others of its workflow and queue, most urgent first. A forged message
# cannot run a job as another workflow. A job with losses or with a time limit never travels with others, nor
# one that others wait for: whoever finishes it has more to do. The condition is that of the index jobs_slice.
CLAIM = """
CREATE FUNCTION claim_jobs(
    p_task_id uuid, p_workflow text, p_claim_id uuid, p_worker_id bigint, p_pid integer,
    p_queue text, p_more integer, p_substitute boolean
) RETURNS SETOF jobs LANGUAGE plpgsql
{settings}
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM workers WHERE id = p_worker_id AND ended_at IS NULL AND lease_expires_at > now()
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
    IF p_substitute AND NOT FOUND THEN
        p_more := greatest(p_more, 1);
    END IF;
    IF p_more > 0 THEN
        RETURN QUERY
            WITH chosen AS (
                SELECT id FROM jobs
                WHERE workflow = p_workflow AND queue = p_queue AND state = 'pending' AND losses = 0
                    AND time_limit IS NULL AND soft_time_limit IS NULL AND task_id <> p_task_id
                    AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
                ORDER BY priority DESC, id
                LIMIT p_more FOR UPDATE SKIP LOCKED
            )
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, worker_id = p_worker_id, pid = p_pid,
                claim_id = gen_random_uuid(), started_at = now(), progress = NULL
            FROM chosen WHERE jobs.id = chosen.id AND state || '' = 'pending'
            RETURNING jobs.*;
    END IF;
END
$$
"""

# The locks come first, in a statement of their own: the next one then sees every edge to a job that somebody
# recorded meanwhile.
FINISH = """
CREATE FUNCTION finish_jobs(p_outcomes jsonb) RETURNS SETOF bigint LANGUAGE plpgsql
{settings}
AS $$
BEGIN
    PERFORM FROM jobs
        WHERE id = ANY (ARRAY(SELECT id FROM jsonb_to_recordset(p_outcomes) AS given(id bigint)))
        ORDER BY id FOR UPDATE;
    RETURN QUERY
        WITH given AS (
            SELECT * FROM jsonb_to_recordset(p_outcomes) AS given(
                id bigint, claim_id uuid, result jsonb, waited float8, ago float8, cpu_seconds float8,
                peak_memory bigint, workdir text, code_version text, log text
            )
        ),
        done AS (
            UPDATE jobs
            SET state = 'succeeded', result = given.result, error_type = NULL, error_message = NULL,
                started_at = started_at + make_interval(secs => given.waited),
                finished_at = now() - make_interval(secs => given.ago)
            FROM given
            WHERE jobs.id = given.id AND jobs.claim_id = given.claim_id AND state || '' = 'running'
                AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id)
            RETURNING jobs.id, attempt, jobs.claim_id, worker_id, pid, started_at, finished_at,
                given.cpu_seconds, given.peak_memory, given.workdir, given.code_version, given.log
        ),
        written AS (
            INSERT INTO attempts (job_id, attempt, claim_id, outcome, worker_id, nodename, host, pid,
                scheduler_job_id, started_at, finished_at, cpu_seconds, peak_memory, workdir, code_version)
            SELECT done.id, attempt, claim_id, 'succeeded', worker_id, nodename, host,
                done.pid, scheduler_job_id, done.started_at, finished_at, cpu_seconds, peak_memory, workdir,
                code_version
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
    for function in (CLAIM, FINISH):
        op.execute(function.format(settings=SETTINGS))
