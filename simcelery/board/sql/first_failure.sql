-- A job of the subscription that has failed since its jobs were last set going.
SELECT job.id, job.error_type, job.error_message
FROM subscriptions AS mine, unnest(mine.jobs) AS part
CROSS JOIN LATERAL (
    SELECT id, error_type, error_message FROM jobs
    WHERE jobs.id >= lower(part) AND jobs.id < upper(part)
        AND state = 'failed' AND finished_at >= mine.since
    ORDER BY id
    LIMIT 1
) AS job
WHERE mine.id = %(subscription)s
LIMIT 1
