-- Its own row, whoever has the job by now: what it says has happened.
UPDATE corrections SET error = %(error)s, difference = %(difference)s
WHERE job_id = %(job_id)s AND number = %(number)s
RETURNING number
