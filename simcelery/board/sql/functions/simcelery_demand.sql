-- For autoscalers that ask Postgres, such as KEDA: the jobs of a queue that wait for a worker, or run on one; at most
-- 10,000. Those that run count: whoever is to start as many workers as there is work for must not end those that work. Blocked
-- and scheduled jobs do not count. Not asked of Redis, which holds no more than a window of the messages.
CREATE OR REPLACE FUNCTION simcelery_demand(p_queue text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM (
        (SELECT FROM jobs WHERE state = 'running' AND queue = p_queue LIMIT 10000)
        UNION ALL
        (SELECT FROM jobs WHERE state = 'pending' AND published_at IS NOT NULL AND queue = p_queue LIMIT 10000)
        UNION ALL
        (SELECT FROM jobs WHERE state = 'pending' AND published_at IS NULL AND queue = p_queue LIMIT 10000)
        LIMIT 10000
    ) AS found
$$
