-- What a process holds as far as the board knows, while it knows of nothing: the answer never came. Only jobs of
-- the workflow that it asked for: a board that was restored may believe that it still runs an earlier one.
SELECT id AS job_id, task_id, claim_id, attempt, workflow, parameters, queue, priority, tags, failures,
    max_attempts, time_limit, soft_time_limit, gate_id,
    CASE WHEN needs_id IS NOT NULL THEN granted(id, claim_id) END AS granted
FROM jobs
WHERE state = 'running' AND worker_id = %(worker_id)s AND pid = %(pid)s
    AND workflow || '' = %(workflow)s
    AND EXISTS (SELECT FROM workers WHERE id = %(worker_id)s AND registration = %(registration)s)
