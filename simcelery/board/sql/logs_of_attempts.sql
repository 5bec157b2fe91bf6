-- What the attempts of these jobs have printed so far, and where they ran, or run; of all, or of one by its number.
SELECT log_chunks.job_id, log_chunks.attempt, log_chunks.seq, log_chunks.text,
  coalesce(attempts.host, workers.host) AS host
FROM log_chunks
LEFT JOIN attempts ON attempts.job_id = log_chunks.job_id AND attempts.attempt = log_chunks.attempt
LEFT JOIN jobs ON jobs.id = log_chunks.job_id AND jobs.attempt = log_chunks.attempt AND jobs.state = 'running'
LEFT JOIN workers ON workers.id = jobs.worker_id
WHERE log_chunks.job_id = ANY(%(ids)s::bigint[])
  AND (%(attempt)s::integer IS NULL OR log_chunks.attempt = %(attempt)s::integer)
ORDER BY log_chunks.job_id, log_chunks.attempt, log_chunks.seq
