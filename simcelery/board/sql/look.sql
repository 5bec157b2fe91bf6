-- How a job stands, and where its last attempt ran, or runs.
SELECT jobs.id, jobs.state, jobs.attempt, coalesce(attempts.host, workers.host) AS host
FROM jobs
LEFT JOIN attempts ON attempts.job_id = jobs.id AND attempts.attempt = jobs.attempt
LEFT JOIN workers ON workers.id = jobs.worker_id AND jobs.state = 'running'
WHERE jobs.task_id = %(task_id)s
