-- Whether jobs wait that a worker could run if it lasted longer, and none of the first ones of each lane ends in time.
SELECT count(*) > 0 AND NOT bool_or(fits_in_time(its.seconds, its.fresh, jobs.id))
FROM (SELECT seconds_between(now(), ends_at) AS seconds, is_fresh(workers) AS fresh FROM workers WHERE id = %(worker_id)s) AS its
CROSS JOIN unnest(%(queues)s::text[]) AS one (queue)
CROSS JOIN unnest(%(workflows)s::text[]) AS other (workflow)
CROSS JOIN LATERAL unnest(first_of_lane(one.queue, other.workflow, 0, its.seconds)) AS first (id)
JOIN jobs ON jobs.id = first.id
WHERE needs_id IS NULL OR needs_id IN (/* fitting */)
