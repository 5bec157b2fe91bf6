-- By their places: whatever Postgres believes of how many there are, each is looked up in the index.
DELETE FROM dependencies WHERE ctid = ANY(ARRAY(
    SELECT edge.ctid
    FROM unnest(CAST(%(ids)s AS bigint[]), CAST(%(parents)s AS bigint[])) AS dropped(id, parent)
    CROSS JOIN LATERAL (
        SELECT ctid FROM dependencies WHERE job_id = dropped.id AND parent_id = dropped.parent OFFSET 0
    ) AS edge
))
