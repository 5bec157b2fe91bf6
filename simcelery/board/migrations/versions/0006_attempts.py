"""What an attempt is repeated with: the seed of its random numbers."""

from alembic import op

revision = "0006"
down_revision = "0005"

# As in 0004, and for the same reasons; with the seed.
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
                started_at = started_at + make_interval(secs => given.waited),
                finished_at = now() - make_interval(secs => given.ago)
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
    op.execute("ALTER TABLE attempts ADD COLUMN seed BIGINT")
    op.execute(FINISH)
