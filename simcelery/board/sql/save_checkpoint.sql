-- As save_step.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state IN ('running', 'pending', 'scheduled')
    FOR SHARE
)
INSERT INTO checkpoints (job_id, attempt, state)
SELECT id, attempt, CAST(%(state)s AS jsonb) FROM mine
ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, state = excluded.state, saved_at = excluded.saved_at
RETURNING job_id
