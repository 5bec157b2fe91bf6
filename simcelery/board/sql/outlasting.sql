-- Of the first pending jobs of these lanes, those that take longer than so many seconds, and are not tried in so many either
-- (expected_time): by lane, how many, the first of them, and how long that one takes.
SELECT lane.queue, lane.workflow, count(*) AS number, min(its.id) AS first,
    (array_agg(takes.seconds ORDER BY its.id))[1] AS seconds
FROM unnest(%(queues)s::text[], %(workflows)s::text[], %(longest)s::double precision[]) AS lane (queue, workflow, longest)
CROSS JOIN LATERAL unnest(first_of_lane(lane.queue, lane.workflow, 0, NULL)) AS its (id)
CROSS JOIN LATERAL expected_time(its.id) AS takes
WHERE takes.tried_from > lane.longest
GROUP BY lane.queue, lane.workflow
ORDER BY min(its.id)
