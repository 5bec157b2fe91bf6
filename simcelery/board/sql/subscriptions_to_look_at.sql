-- The subscriptions of which something may have happened. The job that was found unfinished at the last look
-- stands for all: until it has ended, they are not done.
SELECT id
FROM subscriptions AS mine
WHERE done_at IS NULL
    AND (
        NOT EXISTS (SELECT FROM jobs WHERE jobs.id = mine.unfinished AND finished_at IS NULL)
        OR look_at <= now()
        OR held_at IS NOT NULL
        OR ('held' = ANY (events) AND EXISTS (SELECT FROM gates WHERE closed_by IS NOT NULL))
        OR ('first-failure' = ANY (events) AND failed_at IS NULL AND EXISTS (
            SELECT
            FROM unnest(mine.jobs) AS part
            CROSS JOIN LATERAL (
                SELECT FROM jobs
                WHERE jobs.id >= lower(part) AND jobs.id < upper(part)
                    AND state = 'failed' AND finished_at >= mine.since
                LIMIT 1
            ) AS failed
        ))
    )
ORDER BY id
