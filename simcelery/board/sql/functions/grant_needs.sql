-- Give what this worker has just claimed what it needs, if it needs anything; how many jobs that are. The caller holds
-- the lock of `fitting_needs`. A claim that is lost in a crash of Postgres might give a device away twice.
CREATE OR REPLACE FUNCTION grant_needs(p_worker_id bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    INSERT INTO grants (job_id, claim_id, worker_id, cores, memory, gpus)
        SELECT jobs.id, claim_id, p_worker_id, needs.cores, needs.memory, ARRAY(
            SELECT device FROM workers, unnest(workers.gpus) WITH ORDINALITY AS its(device, place)
            WHERE needs.gpus > 0 AND workers.id = p_worker_id AND device <> ALL (taken_gpus(p_worker_id))
            ORDER BY place LIMIT needs.gpus
        )
        FROM jobs JOIN needs ON needs.id = needs_id
        WHERE worker_id = p_worker_id AND state = 'running' AND NOT EXISTS (
            SELECT FROM grants WHERE job_id = jobs.id AND grants.claim_id = jobs.claim_id
        )
        ON CONFLICT (job_id) DO UPDATE SET claim_id = excluded.claim_id, worker_id = excluded.worker_id,
            cores = excluded.cores, memory = excluded.memory, gpus = excluded.gpus;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        DELETE FROM passed_over USING grants
            WHERE grants.job_id = passed_over.job_id AND worker_id = p_worker_id;
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN v_count;
END
$$
