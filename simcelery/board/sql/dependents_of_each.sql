-- The first jobs that wait for each of these.
SELECT parent.id, dependent.job_id FROM unnest(CAST(%(parents)s AS bigint[])) WITH ORDINALITY AS parent (id, place)
CROSS JOIN LATERAL (
    SELECT job_id FROM dependencies WHERE parent_id = parent.id ORDER BY job_id LIMIT %(each)s
) AS dependent
ORDER BY parent.place LIMIT %(most)s
