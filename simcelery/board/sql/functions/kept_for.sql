-- The job for which room is kept on a worker: of those that it could run if nothing else ran there, the one that has been
-- passed over longest, if that is ten minutes. Nothing if there is none, which is known from a look at one index.
CREATE OR REPLACE FUNCTION kept_for(p_worker_id bigint)
RETURNS TABLE (job_id bigint, priority smallint, cores integer, memory bigint, gpus integer, needs_id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_until timestamptz := now() - interval '10 minutes';
BEGIN
    IF NOT EXISTS (SELECT FROM passed_over WHERE since < v_until) THEN
        RETURN;
    END IF;
    DELETE FROM passed_over WHERE job_id IN (
        SELECT job_id FROM (
            SELECT job_id FROM passed_over WHERE since < v_until ORDER BY since LIMIT 100 FOR UPDATE SKIP LOCKED
        ) AS oldest
        WHERE NOT EXISTS (SELECT FROM jobs WHERE id = job_id AND state || '' = 'pending')
    );
    RETURN QUERY
        SELECT jobs.id, jobs.priority, greatest(its.cores, 0), greatest(its.memory, 0), greatest(its.gpus, 0), its.id
        FROM (SELECT * FROM passed_over WHERE since < v_until ORDER BY since LIMIT 100) AS oldest
        JOIN jobs ON jobs.id = oldest.job_id
        JOIN needs AS its ON its.id = jobs.needs_id
        JOIN workers ON workers.id = p_worker_id AND queue = ANY (queues) AND workflow = ANY (workflows)
        WHERE state || '' = 'pending' AND cancel_requested_at IS NULL
            AND coalesce(its.cores, 0) <= workers.cores AND coalesce(its.memory, 0) <= workers.memory
            AND coalesce(its.gpus, 0) <= cardinality(workers.gpus)
            AND (gate_id IS NULL OR may_begin(gate_id, jobs.id, attempt))
            AND fits_in_time(seconds_between(now(), workers.ends_at), is_fresh(workers), jobs.id)
        ORDER BY since, jobs.id LIMIT 1;
END
$$
