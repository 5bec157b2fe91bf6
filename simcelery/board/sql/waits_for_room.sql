SELECT crowded FROM host_is_full(%(worker_id)s, %(pid)s) AS crowded
WHERE crowded OR EXISTS (
    SELECT FROM jobs WHERE task_id = %(task_id)s AND state = 'pending' AND needs_id IS NOT NULL
)
