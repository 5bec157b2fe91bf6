DELETE FROM dependencies USING unnest(CAST(%(ids)s AS bigint[]), CAST(%(parents)s AS bigint[])) AS dropped(id, parent)
WHERE job_id = dropped.id AND parent_id = dropped.parent
