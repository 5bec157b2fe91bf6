-- A job of the subscription that has not ended, from this id on.
SELECT job.id
FROM subscriptions AS mine, unnest(mine.jobs) AS part
CROSS JOIN LATERAL (
    SELECT id FROM jobs
    WHERE jobs.id >= greatest(lower(part), %(start)s) AND jobs.id < upper(part) AND finished_at IS NULL
    ORDER BY id
    LIMIT 1
) AS job
WHERE mine.id = %(subscription)s
LIMIT 1
