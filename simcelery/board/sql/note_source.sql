INSERT INTO submitted_sources (workflow, source, submitted_by, since)
SELECT %(workflow)s, %(source)s, %(submitted_by)s, now()
WHERE NOT EXISTS (SELECT FROM submitted_sources WHERE workflow = %(workflow)s AND source = %(source)s)
ON CONFLICT (workflow) DO UPDATE
SET source = excluded.source, submitted_by = excluded.submitted_by, since = excluded.since
RETURNING workflow
