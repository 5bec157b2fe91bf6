-- Of the first pending jobs of these lanes, those that take longer than so many seconds: by lane, how many, the first of
-- them, and how long that one takes.
SELECT lane.queue, lane.workflow, count(*) AS number, min(first.id) AS first,
    (array_agg(first.seconds ORDER BY first.id))[1] AS seconds
FROM unnest(%(queues)s::text[], %(workflows)s::text[], %(longest)s::double precision[]) AS lane (queue, workflow, longest)
CROSS JOIN LATERAL (
    SELECT id, expected_time(id) AS seconds FROM unnest(first_of_lane(lane.queue, lane.workflow, 0)) AS its (id)
) AS first
WHERE first.seconds > lane.longest
GROUP BY lane.queue, lane.workflow
ORDER BY min(first.id)
