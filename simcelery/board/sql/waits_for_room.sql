SELECT FROM jobs WHERE task_id = %(task_id)s AND state = 'pending' AND needs_id IS NOT NULL
