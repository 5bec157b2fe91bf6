SELECT id, task_id, workflow, queue, priority FROM admit_jobs(%(most)s)
