-- Nothing of these was executed, so there is no attempt; whoever ate their messages, they are sent anew.
WITH held AS (
    SELECT id FROM jobs JOIN unnest(%(ids)s::bigint[], %(claims)s::uuid[]) AS given(id, claim_id)
        USING (id, claim_id)
    WHERE state = 'running' ORDER BY id FOR UPDATE OF jobs
)
UPDATE jobs SET
    state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
    finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END,
    attempt = attempt - 1, published_at = NULL, publish_count = 0
FROM held WHERE jobs.id = held.id
RETURNING jobs.id
