SELECT id AS job_id, task_id, claim_id, attempt, workflow, parameters, queue, priority, tags, failures,
    max_attempts, time_limit, soft_time_limit, gate_id,
    CASE WHEN needs_id IS NOT NULL THEN granted(id, claim_id) END AS granted
FROM claim_jobs(
    %(task_id)s, %(workflow)s, %(claim_id)s, %(worker_id)s, %(pid)s, %(queue)s, %(least)s, %(more)s,
    %(registration)s
)
