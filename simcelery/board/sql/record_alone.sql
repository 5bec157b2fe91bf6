INSERT INTO jobs (
    task_id, parameters, state, unmet, workflow, version, queue, priority, tags, parent_id, max_attempts,
    max_losses, time_limit, soft_time_limit, time_request, keep, submitted_by, published_at, publish_count
) VALUES (
    %(task_id)s, %(parameters)s, 'pending', 0, %(workflow)s, %(version)s, %(queue)s, %(priority)s, %(tags)s,
    %(parent_id)s, %(max_attempts)s, %(max_losses)s, %(time_limit)s, %(soft_time_limit)s, %(time_request)s,
    %(keep)s, %(submitted_by)s,
    CASE WHEN %(published)s THEN now() END, CASE WHEN %(published)s THEN 1 ELSE 0 END
)
RETURNING id
