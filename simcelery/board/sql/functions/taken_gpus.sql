-- The devices that running jobs have been given on the node of a worker, by whichever worker there: a device is one, however many
-- workers name it. Volatile, so that it sees what was given before the caller had its lock.
CREATE OR REPLACE FUNCTION taken_gpus(p_worker_id bigint) RETURNS text[] LANGUAGE sql VOLATILE AS $$
SELECT ARRAY(
    SELECT device FROM grants CROSS JOIN unnest(grants.gpus) AS its(device)
    WHERE device IS NOT NULL
        AND (
            worker_id = p_worker_id OR (SELECT node_of(workers) FROM workers WHERE id = worker_id)
                = (SELECT node_of(workers) FROM workers WHERE id = p_worker_id)
        )
        AND EXISTS (
            SELECT FROM jobs WHERE id = job_id AND jobs.claim_id = grants.claim_id AND state || '' = 'running'
        )
)
$$
