-- Those of these jobs that wait, by way of others, for one of these parents that waits for them.
WITH RECURSIVE above AS (
    SELECT unnest(CAST(%(parents)s AS bigint[])) AS id
    UNION
    SELECT edge.parent_id FROM above
    CROSS JOIN LATERAL (SELECT id FROM jobs WHERE id = above.id AND state <> 'succeeded' OFFSET 0) AS waiting
    CROSS JOIN LATERAL (SELECT parent_id FROM dependencies WHERE job_id = waiting.id OFFSET 0) AS edge
)
SELECT id FROM above WHERE id = ANY(CAST(%(ids)s AS bigint[])) ORDER BY id
