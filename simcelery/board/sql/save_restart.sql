-- As save_correction. A workflow may run several programs, each with files of its own.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state = 'running'
    FOR NO KEY UPDATE
)
INSERT INTO restarts (job_id, attempt, continues, files)
SELECT id, attempt, %(continues)s, %(files)s FROM mine
ON CONFLICT (job_id, attempt, continues) DO UPDATE SET files = restarts.files || ', ' || excluded.files
RETURNING attempt
