-- In order: two that delete may meet the same edges.
SELECT FROM (
    SELECT job_id, parent_id FROM dependencies WHERE job_id = ANY(CAST(%(ids)s AS bigint[]))
    UNION SELECT job_id, parent_id FROM dependencies WHERE parent_id = ANY(CAST(%(ids)s AS bigint[]))
    ORDER BY job_id, parent_id
) AS edge
CROSS JOIN LATERAL (
    SELECT FROM dependencies WHERE job_id = edge.job_id AND parent_id = edge.parent_id OFFSET 0 FOR UPDATE
) AS held
