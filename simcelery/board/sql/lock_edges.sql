-- In order: two that delete may meet the same edges. Of each job they are looked up in the index, however few Postgres believes
-- that there are of all.
SELECT FROM (
    SELECT DISTINCT its.job_id, its.parent_id FROM unnest(CAST(%(ids)s AS bigint[])) AS gone (id)
    CROSS JOIN LATERAL (
        SELECT job_id, parent_id FROM dependencies WHERE job_id = gone.id
        UNION ALL SELECT job_id, parent_id FROM dependencies WHERE parent_id = gone.id
        OFFSET 0
    ) AS its
    ORDER BY its.job_id, its.parent_id
) AS edge
CROSS JOIN LATERAL (
    SELECT FROM dependencies WHERE job_id = edge.job_id AND parent_id = edge.parent_id OFFSET 0 FOR UPDATE
) AS held
