-- A job of the subscription that is held for good: its fuse has blown, or a canary did not succeed.
SELECT job.id
FROM gates
JOIN subscriptions AS mine ON mine.id = %(subscription)s
CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE gate_id = gates.id AND state = 'blocked' AND mine.jobs @> jobs.id LIMIT 1
) AS job
WHERE closed_by = 'fuse'
    OR (closed_by = 'canary' AND EXISTS (
        SELECT FROM canaries JOIN jobs AS canary ON canary.id = canaries.job_id
        WHERE canaries.gate_id = gates.id AND canary.state IN ('failed', 'cancelled', 'upstream_failed')
    ))
LIMIT 1
