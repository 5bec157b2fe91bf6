SELECT newest.workflow, limits_of(newest.workflow, newest.queue, newest.tags) AS limits, shares.queue AS shared
FROM unnest(%(workflows)s::text[]) AS wanted (workflow)
CROSS JOIN LATERAL (
    SELECT workflow, queue, tags FROM jobs WHERE jobs.workflow = wanted.workflow ORDER BY id DESC LIMIT 1
) AS newest
LEFT JOIN shares ON shares.queue = newest.queue
WHERE EXISTS (SELECT FROM limits) OR EXISTS (SELECT FROM shares)
