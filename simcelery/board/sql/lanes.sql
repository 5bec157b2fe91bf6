-- How many pending jobs of each lane have been sent, and how many have not.
SELECT lane.queue, lane.workflow, lane.priority, fresh.number AS unpublished, sent.number AS published
FROM (
    SELECT queue, workflow, priority FROM pending_lanes() CROSS JOIN generate_series(0, 9) AS priority
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
