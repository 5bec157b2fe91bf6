-- Each queue and workflow is found by one step into the index from the one before it.
WITH RECURSIVE fresh (queue, workflow) AS (
    (SELECT queue, workflow FROM jobs WHERE state = 'pending' AND published_at IS NULL
      ORDER BY queue, workflow LIMIT 1)
    UNION ALL
    SELECT following.* FROM fresh CROSS JOIN LATERAL (
        SELECT queue, workflow FROM jobs WHERE state = 'pending' AND published_at IS NULL
            AND (jobs.queue, jobs.workflow) > (fresh.queue, fresh.workflow)
        ORDER BY queue, workflow LIMIT 1
    ) AS following
),
sent (queue, workflow) AS (
    (SELECT queue, workflow FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL
      ORDER BY queue, workflow LIMIT 1)
    UNION ALL
    SELECT following.* FROM sent CROSS JOIN LATERAL (
        SELECT queue, workflow FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL
            AND (jobs.queue, jobs.workflow) > (sent.queue, sent.workflow)
        ORDER BY queue, workflow LIMIT 1
    ) AS following
)
SELECT lane.queue, lane.workflow, lane.priority, fresh.number AS unpublished, sent.number AS published
FROM (
    SELECT queue, workflow, priority FROM (TABLE fresh UNION TABLE sent) AS known
    CROSS JOIN generate_series(0, 9) AS priority
) AS lane
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM (
        SELECT FROM jobs WHERE state = 'pending' AND published_at IS NULL AND jobs.queue = lane.queue
            AND jobs.workflow = lane.workflow AND jobs.priority = lane.priority LIMIT %(at_most)s
    ) AS found
) AS fresh
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM (
        SELECT FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL AND jobs.queue = lane.queue
            AND jobs.workflow = lane.workflow AND jobs.priority = lane.priority LIMIT %(at_most)s
    ) AS found
) AS sent
WHERE fresh.number + sent.number > 0
ORDER BY lane.priority DESC, lane.queue, lane.workflow
