-- How many jobs run at once on a host, whichever of its workers have them: each pool child runs one, also of a slice. The
-- child that asks does not count.
CREATE OR REPLACE FUNCTION host_used(p_host text, p_worker_id bigint, p_pid bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
BEGIN
    RETURN count(DISTINCT (jobs.worker_id, jobs.pid))
        FROM workers JOIN jobs ON jobs.worker_id = workers.id
        WHERE workers.host = p_host AND jobs.state = 'running'
            AND (jobs.worker_id, jobs.pid) IS DISTINCT FROM (p_worker_id, p_pid);
END
$$
