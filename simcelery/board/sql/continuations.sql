-- The jobs in which these go on.
SELECT edge.parent_id FROM unnest(CAST(%(ids)s AS bigint[])) AS job (id)
CROSS JOIN LATERAL (SELECT parent_id FROM dependencies WHERE job_id = job.id AND kind = 'then' OFFSET 0) AS edge
ORDER BY edge.parent_id
