-- As save_step; the next number, unless the budget is spent: what was corrected before the parameters were
-- revised, or before a retry from scratch, is not counted.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state = 'running'
    FOR NO KEY UPDATE
)
INSERT INTO corrections (job_id, number, attempt, handler, error, changes, difference)
SELECT id, 1 + (SELECT coalesce(max(number), 0) FROM corrections WHERE job_id = id), attempt,
    %(handler)s, %(error)s, %(changes)s, %(difference)s
FROM mine WHERE %(budget)s > (
    SELECT count(*) FROM corrections WHERE job_id = id
        AND attempt > coalesce((SELECT max(last_attempt) FROM revisions WHERE job_id = id), 0)
)
RETURNING number
