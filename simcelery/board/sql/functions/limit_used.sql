-- How many jobs of a limit are running. They are counted, each time: a number that somebody keeps would be wrong
-- after whatever nobody thought of. What runs is found by one small index. Of host:*, what runs on the fullest host.
CREATE OR REPLACE FUNCTION limit_used(p_name text) RETURNS bigint
LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
BEGIN
    IF p_name LIKE 'host:%' THEN
        RETURN CASE p_name
            WHEN 'host:*' THEN (
                SELECT coalesce(max(host_used(host, NULL, NULL)), 0) FROM (
                    SELECT DISTINCT host FROM workers JOIN jobs ON worker_id = workers.id WHERE state = 'running'
                ) AS busy WHERE NOT EXISTS (SELECT FROM limits WHERE name = 'host:' || host)
            )
            ELSE host_used(substr(p_name, 6), NULL, NULL)
        END;
    END IF;
    RETURN count(*) FROM jobs WHERE state = 'running' AND CASE split_part(p_name, ':', 1)
        WHEN 'tag' THEN substr(p_name, 5) = ANY (tags)
        WHEN 'workflow' THEN workflow = substr(p_name, 10)
        WHEN 'queue' THEN queue = substr(p_name, 7)
    END;
END
$$
