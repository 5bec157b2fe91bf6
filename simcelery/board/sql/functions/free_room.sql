-- What is free on a worker beside what runs there. Volatile: see taken_gpus.
CREATE OR REPLACE FUNCTION free_room(p_worker_id bigint) RETURNS TABLE (cores bigint, memory numeric, gpus bigint)
LANGUAGE sql VOLATILE AS $$
SELECT
    workers.cores - coalesce(sum(grants.cores), 0),
    workers.memory - coalesce(sum(grants.memory), 0),
    CASE workers.gpus WHEN '{}' THEN 0 ELSE cardinality(ARRAY(
        SELECT unnest(workers.gpus) EXCEPT SELECT unnest(taken_gpus(p_worker_id))
    )) END
FROM workers LEFT JOIN grants ON worker_id = workers.id
WHERE workers.id = p_worker_id
GROUP BY workers.id
$$
