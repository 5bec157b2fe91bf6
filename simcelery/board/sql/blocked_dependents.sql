-- The next jobs that wait for this one.
SELECT dependent.id FROM (
    SELECT job_id FROM dependencies WHERE parent_id = %(parent)s AND job_id > %(after)s ORDER BY job_id
) AS edge
CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE id = edge.job_id AND state = 'blocked' AND unmet > 0 OFFSET 0
) AS dependent
LIMIT %(most)s
