DELETE FROM corrections WHERE job_id = %(job_id)s AND number = %(number)s
RETURNING number
