-- The parents that these jobs need, and that did not succeed, held so that a retry of one finds its dependents fallen, or
-- comes before them.
SELECT culprit.id FROM (
    SELECT DISTINCT edge.parent_id FROM unnest(CAST(%(ids)s AS bigint[])) AS job (id)
    CROSS JOIN LATERAL (
        SELECT parent_id FROM dependencies WHERE job_id = job.id AND kind IS DISTINCT FROM 'any' OFFSET 0
    ) AS edge
    ORDER BY parent_id
) AS parent
CROSS JOIN LATERAL (
    SELECT id FROM jobs WHERE id = parent.parent_id AND state IN ('failed', 'cancelled', 'upstream_failed')
    OFFSET 0 FOR SHARE SKIP LOCKED
) AS culprit
