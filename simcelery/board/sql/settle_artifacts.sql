-- Those whose attempt has succeeded count from now on. Those that never will become nobody's: their attempt has
-- ended otherwise, and since then a newer claim was made, or the job has ended. A late success is still accepted before.
WITH looked AS (
    SELECT artifacts.id, jobs.finished_at IS NOT NULL OR jobs.claim_id IS DISTINCT FROM artifacts.claim_id AS over,
        EXISTS (
            SELECT FROM attempts WHERE attempts.job_id = artifacts.job_id
                AND attempts.claim_id = artifacts.claim_id AND outcome = 'succeeded'
        ) AS counts
    FROM artifacts JOIN jobs ON jobs.id = artifacts.job_id
    WHERE next_at <= now()
    ORDER BY next_at
    LIMIT %(most)s
    FOR UPDATE OF artifacts SKIP LOCKED
)
UPDATE artifacts SET
    job_id = CASE WHEN counts OR NOT over THEN job_id END,
    next_at = CASE WHEN NOT counts THEN now() + CASE WHEN over THEN interval '0' ELSE interval '1 minute' END END
FROM looked WHERE artifacts.id = looked.id
RETURNING artifacts.job_id
