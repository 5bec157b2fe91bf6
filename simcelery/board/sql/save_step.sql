-- As long as no newer claim was made, and the job's parameters are still those of this one: then its row could
-- not have been locked.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state IN ('running', 'pending', 'scheduled')
    FOR SHARE
)
INSERT INTO steps (job_id, name, key, code, given, output, attempt, seconds)
SELECT id, %(name)s, %(key)s, %(code)s, CAST(%(given)s AS jsonb), CAST(%(output)s AS jsonb), attempt, %(seconds)s
FROM mine
ON CONFLICT (job_id, name, key) DO UPDATE SET output = excluded.output, attempt = excluded.attempt,
    seconds = excluded.seconds, saved_at = excluded.saved_at
RETURNING job_id
