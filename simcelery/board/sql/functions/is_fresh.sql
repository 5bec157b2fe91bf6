-- Whether a worker still has nearly all of the time that it began with.
CREATE OR REPLACE FUNCTION is_fresh(p_worker workers) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT seconds_between(p_worker.started_at, now()) <= 0.05 * seconds_between(p_worker.started_at, p_worker.ends_at)
$$
