-- Nothing of the job was executed, so there is no attempt. Others get time to take it: the longer it has been
-- waiting, the longer, so that workers that cannot run it do not take it again and again.
UPDATE jobs SET
    state = CASE WHEN cancel_requested_at IS NULL THEN 'scheduled' ELSE 'cancelled' END,
    finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN now() END,
    run_at = now() + make_interval(
        secs => greatest(1, least(30, seconds_between(submitted_at, now()) / 4))
    ),
    attempt = attempt - 1, published_at = NULL, publish_count = 0,
    error_type = %(error_type)s,
    error_message = concat_ws(' ', (SELECT nodename FROM workers WHERE id = worker_id), %(why)s::text)
WHERE id = %(job_id)s AND claim_id = %(claim_id)s AND state = 'running'
RETURNING id
