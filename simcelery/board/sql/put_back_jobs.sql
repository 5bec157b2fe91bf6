SELECT jobs.id, jobs.parameters ->> %(name)s::text AS value, jobs.error_message
FROM jobs
WHERE jobs.id = ANY(%(ids)s::bigint[]) AND jobs.state IN ('pending', 'scheduled')
  AND jobs.error_type = %(error_type)s
