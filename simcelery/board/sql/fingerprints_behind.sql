-- How many jobs have no fingerprint yet, counted no further than asked.
SELECT count(*) AS behind FROM (
    SELECT FROM jobs WHERE id > (SELECT coalesce(max(job_id), 0) FROM fingerprints) ORDER BY id LIMIT %(most)s
) AS recent
