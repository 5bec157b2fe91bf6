-- The attempts before this one whose files a program may go on from, newest first: not those that ran with other
-- parameters, nor those before a retry from scratch.
SELECT attempt, claim_id, workdir FROM attempts
WHERE job_id = %(job_id)s AND attempt < %(attempt)s
    AND attempt > coalesce((SELECT max(last_attempt) FROM revisions WHERE job_id = %(job_id)s), 0)
ORDER BY attempt DESC
LIMIT 20
