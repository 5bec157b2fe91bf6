SELECT jobs.id, jobs.state, jobs.error_type, jobs.error_message, attempts.host
FROM canaries
JOIN jobs ON jobs.id = canaries.job_id
LEFT JOIN attempts ON attempts.job_id = jobs.id AND attempts.attempt = jobs.attempt
WHERE canaries.gate_id = %(gate_id)s
ORDER BY jobs.id
