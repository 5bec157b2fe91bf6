-- pending -> blocked for a job whose limit is full, and for others of its lane that the same limit keeps from
-- running: were each of them to be claimed first, a sweep would cost a futile claim for every job. It looks at
-- some of those that would come next. A blocked job that was published, and waits for no parent and at no gate,
-- is one of these; `throttled` says which limit it waits for.
CREATE OR REPLACE FUNCTION throttle_jobs(p_limit text, p_job bigint, p_workflow text, p_queue text) RETURNS void
LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
BEGIN
    WITH unsent AS MATERIALIZED (
        SELECT id, queue, tags FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND state = 'pending' AND published_at IS NULL
        ORDER BY priority DESC, id
        LIMIT 200 FOR UPDATE SKIP LOCKED
    ),
    sent AS MATERIALIZED (
        SELECT id, queue, tags FROM jobs
        WHERE queue = p_queue AND workflow = p_workflow AND state = 'pending' AND published_at IS NOT NULL
        ORDER BY priority DESC, published_at
        LIMIT 200 FOR UPDATE SKIP LOCKED
    ),
    found AS MATERIALIZED (
        SELECT p_job AS id
        UNION
        SELECT id FROM (TABLE unsent UNION ALL TABLE sent) AS next
        WHERE p_limit = ANY (limits_of(p_workflow, queue, tags))
    ),
    blocked AS (
        UPDATE jobs SET state = 'blocked', published_at = coalesce(published_at, now()), publish_count = 0
        FROM found WHERE jobs.id = found.id AND state || '' = 'pending'
        RETURNING jobs.id, queue, workflow, priority
    )
    INSERT INTO throttled (job_id, limit_name, queue, workflow, priority)
    SELECT id, p_limit, queue, workflow, priority FROM blocked
    ON CONFLICT (job_id) DO UPDATE SET
        limit_name = excluded.limit_name, queue = excluded.queue, workflow = excluded.workflow,
        priority = excluded.priority, woken_at = NULL;
END
$$
