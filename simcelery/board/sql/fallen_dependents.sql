-- The upstream_failed jobs that needed these, and that no other parent holds back.
SELECT DISTINCT dependent.id FROM unnest(CAST(%(ids)s AS bigint[])) AS parent (id)
CROSS JOIN LATERAL (
    SELECT job_id FROM dependencies WHERE parent_id = parent.id AND kind IS DISTINCT FROM 'any' OFFSET 0
) AS edge
CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE id = edge.job_id AND state = 'upstream_failed' OFFSET 0
) AS dependent
WHERE (
    SELECT other.id FROM (
        SELECT parent_id FROM dependencies WHERE job_id = dependent.id AND kind IS DISTINCT FROM 'any' OFFSET 0
    ) AS edge
    CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE id = edge.parent_id AND state IN ('failed', 'cancelled', 'upstream_failed')
        OFFSET 0
    ) AS other
    LIMIT 1
) IS NULL
ORDER BY dependent.id
