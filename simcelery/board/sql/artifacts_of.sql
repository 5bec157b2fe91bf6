-- The files that jobs have left: those of the attempts that succeeded.
SELECT artifacts.job_id, artifacts.attempt, name, path, artifacts.host, size, sha256, url, registered_at
FROM artifacts JOIN attempts ON attempts.job_id = artifacts.job_id AND attempts.attempt = artifacts.attempt
    AND attempts.claim_id = artifacts.claim_id AND attempts.outcome = 'succeeded'
WHERE artifacts.job_id = ANY(CAST(%(ids)s AS bigint[]))
ORDER BY artifacts.job_id, name
