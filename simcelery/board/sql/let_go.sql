-- blocked -> pending | scheduled for those behind this gate that wait for no parent.
WITH found AS MATERIALIZED (
    SELECT id FROM jobs WHERE gate_id = %(gate)s AND state = 'blocked' AND unmet = 0
        AND NOT EXISTS (SELECT FROM throttled WHERE job_id = jobs.id AND woken_at IS NULL) -- admit does
    LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END
FROM found WHERE jobs.id = found.id AND state || '' = 'blocked'
RETURNING jobs.id, task_id, workflow, queue, priority, state
