-- blocked -> pending | scheduled for those jobs whose last parent this was; gives those that are pending.
-- Beyond p_most of them the rest is left to settle, which the parent's mark tells.
CREATE OR REPLACE FUNCTION unblock_dependents(p_parent bigint, p_most integer) RETURNS SETOF jobs
LANGUAGE plpgsql
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
DECLARE
    v_found bigint[];
BEGIN
    v_found := ARRAY(
        SELECT dependent.id FROM (SELECT job_id FROM dependencies WHERE parent_id = p_parent ORDER BY job_id) AS edge
        CROSS JOIN LATERAL (
            SELECT id FROM jobs WHERE id = edge.job_id AND state = 'blocked' AND unmet > 0 OFFSET 0 FOR UPDATE
        ) AS dependent
        LIMIT p_most + 1
    );
    IF cardinality(v_found) > p_most THEN
        UPDATE jobs SET settled_at = 'epoch' WHERE id = p_parent;
    END IF;
    RETURN QUERY
        WITH told AS (
            UPDATE jobs SET
                unmet = unmet - 1,
                state = CASE WHEN unmet > 1 THEN 'blocked' WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END
            WHERE id = ANY (v_found[:p_most]) AND state = 'blocked' AND unmet > 0
            RETURNING jobs.*
        )
        SELECT * FROM told WHERE state = 'pending';
END
$$
