-- The rows of `needs` that fit on a worker beside what runs there. Until the end of the transaction nobody else
-- claims on its node what needs anything: its pool children share one account, which is the table `grants`, and all
-- workers of the node that of its devices.
--
-- What an attempt has is free again as soon as its job no longer runs under that claim, however it ended: the end is
-- written only when all its processes are gone. The lock is taken before any row is, so nobody waits in a circle.
CREATE OR REPLACE FUNCTION fitting_needs(p_worker_id bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_free record;
BEGIN
    PERFORM pg_advisory_xact_lock(7233002, hashtext(node_of(workers))) FROM workers WHERE id = p_worker_id;
    DELETE FROM grants WHERE worker_id = p_worker_id AND NOT EXISTS (
        SELECT FROM jobs WHERE id = job_id AND jobs.claim_id = grants.claim_id AND state || '' = 'running'
    );
    SELECT
        workers.cores - coalesce(sum(grants.cores), 0) AS cores,
        workers.memory - coalesce(sum(grants.memory), 0) AS memory,
        CASE workers.gpus WHEN '{}' THEN 0 ELSE cardinality(ARRAY(
            SELECT unnest(workers.gpus) EXCEPT SELECT unnest(taken_gpus(p_worker_id))
        )) END AS gpus
    INTO v_free
    FROM workers LEFT JOIN grants ON worker_id = workers.id
    WHERE workers.id = p_worker_id
    GROUP BY workers.id;
    RETURN ARRAY(
        SELECT id FROM needs
        WHERE coalesce(cores, 0) <= v_free.cores AND coalesce(memory, 0) <= v_free.memory
            AND coalesce(gpus, 0) <= v_free.gpus
    );
END
$$
