-- Which of these jobs run, and whether no other is held by the same pool child.
SELECT jobs.id, NOT EXISTS (
  SELECT FROM jobs AS other
  WHERE other.state = 'running' AND other.worker_id = jobs.worker_id AND other.pid = jobs.pid
    AND other.id <> jobs.id
) AS alone
FROM jobs WHERE jobs.id = ANY(%(ids)s::bigint[]) AND jobs.state = 'running'
