-- Of the first pending jobs of each lane those that an allocation would begin that lasts so many seconds: as claims find them.
SELECT first.id
FROM pending_lanes() AS lane
CROSS JOIN LATERAL unnest(first_of_lane(lane.queue, lane.workflow, 0, %(lasts)s, %(most)s)) AS first (id)
WHERE (%(queues)s::text[] IS NULL OR lane.queue = ANY (%(queues)s))
    AND (%(workflows)s::text[] IS NULL OR lane.workflow = ANY (%(workflows)s))
    AND fits_in_time(%(lasts)s, true, first.id)
