INSERT INTO fingerprints (job_id, fingerprint)
SELECT id, job_fingerprint(workflow, version, parameters) FROM jobs
WHERE id > (SELECT coalesce(max(job_id), 0) FROM fingerprints) AND id <= %(newest)s
ORDER BY id LIMIT %(most)s
