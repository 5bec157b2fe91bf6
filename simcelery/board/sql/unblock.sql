SELECT id, task_id, workflow, queue, priority FROM unblock_dependents(%(parent)s, %(most)s)
