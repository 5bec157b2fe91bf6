-- What keeps a pending job from this worker: a limit of its host, how long it takes, or else what it needs of its node.
SELECT crowded, coalesce(late, false) AS late
FROM host_is_full(%(worker_id)s, %(pid)s) AS crowded
LEFT JOIN (
    SELECT needs_id, NOT fits_in_time(seconds_between(now(), ends_at), is_fresh(workers), jobs.id) AS late
    FROM jobs JOIN workers ON workers.id = %(worker_id)s
    WHERE task_id = %(task_id)s AND jobs.state = 'pending'
) AS its ON true
WHERE crowded OR late OR needs_id IS NOT NULL
