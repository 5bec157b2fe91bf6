SELECT
  attempts.job_id, attempts.attempt, attempts.claim_id, attempts.outcome, attempts.cause,
  attempts.error_type, attempts.error_message, attempts.traceback, attempts.worker_id,
  attempts.nodename, attempts.host, attempts.pid, attempts.scheduler_job_id, attempts.started_at,
  attempts.finished_at, attempts.cpu_seconds, attempts.peak_memory, attempts.workdir,
  attempts.code_version, attempts.seed, attempts.late_outcome, attempts.environment_id,
  environments.details, jobs.workflow
FROM attempts
JOIN jobs ON jobs.id = attempts.job_id
LEFT JOIN environments ON environments.id = attempts.environment_id
WHERE attempts.job_id = ANY(%(ids)s::bigint[])
ORDER BY attempts.job_id, attempts.attempt
