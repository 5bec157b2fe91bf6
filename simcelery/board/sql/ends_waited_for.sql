-- The blocked jobs that wait for the end of one of these, whatever it is.
SELECT DISTINCT dependent.id FROM unnest(CAST(%(ids)s AS bigint[])) AS parent (id)
CROSS JOIN LATERAL (SELECT job_id FROM dependencies WHERE parent_id = parent.id AND kind = 'any' OFFSET 0) AS edge
CROSS JOIN LATERAL (SELECT id FROM jobs WHERE id = edge.job_id AND state = 'blocked' OFFSET 0) AS dependent
ORDER BY dependent.id
