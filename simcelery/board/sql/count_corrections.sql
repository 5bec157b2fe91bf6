SELECT count(*) AS number FROM corrections WHERE job_id = %(job_id)s
