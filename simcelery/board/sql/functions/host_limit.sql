-- The limit that holds for the host of a worker, if there is one: that of its name, else that of every host.
CREATE OR REPLACE FUNCTION host_limit(p_worker_id bigint) RETURNS TABLE (name text, most integer, host text)
LANGUAGE sql STABLE AS $$
SELECT limits.name, limits.most, workers.host
FROM workers JOIN limits ON limits.name IN ('host:*', 'host:' || workers.host)
WHERE workers.id = p_worker_id
ORDER BY limits.name = 'host:*' LIMIT 1
$$
