-- The queues and workflows of which jobs are pending. Each is found by one step into an index from the one before it.
CREATE OR REPLACE FUNCTION pending_lanes() RETURNS TABLE (queue text, workflow text) LANGUAGE sql STABLE AS $$
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
TABLE fresh UNION TABLE sent
$$
