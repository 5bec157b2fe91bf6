SELECT output FROM steps WHERE job_id = %(job_id)s AND name = %(name)s AND key = %(key)s
