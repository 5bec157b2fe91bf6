SELECT attempt, state, saved_at FROM checkpoints WHERE job_id = %(job_id)s
