-- Workers, how they are, and which jobs they run.
SELECT
  workers.id, workers.nodename, workers.host, workers.pid, workers.queues, workers.concurrency,
  workers.scheduler_job_id, workers.allocation, workers.version, workers.note, workers.started_at, workers.renewed_at,
  workers.lease_expires_at, workers.ended_at, workers.identity, workers.steady_since,
  workers.workflows, workers.quarantined_at, workers.registration, workers.succeeded,
  workers.sources, workers.changed_files, workers.environment_id, workers.cores, workers.memory, workers.gpus,
  workers.ends_at,
  CASE WHEN workers.ended_at IS NOT NULL THEN 'ended'
    WHEN workers.lease_expires_at <= now() THEN 'overdue'
    WHEN workers.quarantined_at IS NOT NULL THEN 'quarantined'
    ELSE 'live'
  END AS state,
  ARRAY(
    SELECT jobs.id FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running' ORDER BY jobs.id
  ) AS running,
  now() AS now
FROM workers
