-- Where a worker's devices are: two workers of the same node, and of the same allocation of a scheduler, mean the same
-- device by the same name. In another container, or another allocation, a name may stand for another device.
CREATE OR REPLACE FUNCTION node_of(p_worker workers) RETURNS text LANGUAGE sql STABLE AS $$
SELECT concat_ws('|', p_worker.host, split_part(p_worker.identity, '|', 1), split_part(p_worker.identity, '|', 2),
    split_part(p_worker.identity, '|', 3), coalesce(p_worker.scheduler_job_id, ''))
$$
