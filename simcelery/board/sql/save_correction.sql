-- As save_step; the next number, unless the budget is spent.
WITH mine AS MATERIALIZED (
    SELECT id, attempt FROM jobs
    WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state = 'running'
    FOR NO KEY UPDATE
)
INSERT INTO corrections (job_id, number, attempt, handler, error, changes, difference)
SELECT id, 1 + (SELECT count(*) FROM corrections WHERE job_id = id), attempt,
    %(handler)s, %(error)s, %(changes)s, %(difference)s
FROM mine WHERE (SELECT count(*) FROM corrections WHERE job_id = id) < %(budget)s
RETURNING number
