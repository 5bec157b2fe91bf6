-- Whether a worker still has nearly all of the time that it began with.
CREATE OR REPLACE FUNCTION is_fresh(p_worker workers) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT now() <= p_worker.started_at + 0.05 * (p_worker.ends_at - p_worker.started_at)
$$
