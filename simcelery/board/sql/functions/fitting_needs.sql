-- The rows of `needs` that a claim may be given on a worker, beside what runs there. Until the end of the transaction nobody
-- else claims on its node what needs anything: its pool children share one account, which is the table `grants`, and all
-- workers of the node that of its devices.
--
-- What an attempt has is free again as soon as its job no longer runs under that claim, however it ended: the end is
-- written only when all its processes are gone. The lock is taken before any row is, so nobody waits in a circle.
--
-- Where a job has been overtaken for too long (kept_for), only what fits beside it too, or is more urgent, may come before it.
CREATE OR REPLACE FUNCTION fitting_needs(p_worker_id bigint, p_task_id uuid) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_free record;
    v_kept record;
BEGIN
    PERFORM pg_advisory_xact_lock(7233002, hashtext(node_of(workers))) FROM workers WHERE id = p_worker_id;
    DELETE FROM grants WHERE worker_id = p_worker_id AND NOT EXISTS (
        SELECT FROM jobs WHERE id = job_id AND jobs.claim_id = grants.claim_id AND state || '' = 'running'
    );
    SELECT * INTO v_free FROM free_room(p_worker_id);
    SELECT its.* INTO v_kept FROM kept_for(p_worker_id) AS its WHERE NOT EXISTS (
        SELECT FROM jobs WHERE task_id = p_task_id AND (id = its.job_id OR jobs.priority > its.priority)
    );
    RETURN ARRAY(
        SELECT id FROM needs
        WHERE (
            coalesce(cores, 0) <= v_free.cores - coalesce(v_kept.cores, 0)
            AND coalesce(memory, 0) <= v_free.memory - coalesce(v_kept.memory, 0)
            AND coalesce(gpus, 0) <= v_free.gpus - coalesce(v_kept.gpus, 0)
        ) OR (
            id = v_kept.needs_id AND coalesce(cores, 0) <= v_free.cores AND coalesce(memory, 0) <= v_free.memory
            AND coalesce(gpus, 0) <= v_free.gpus
        )
    );
END
$$
