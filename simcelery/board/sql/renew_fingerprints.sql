UPDATE fingerprints SET fingerprint = job_fingerprint(workflow, version, parameters)
FROM jobs WHERE jobs.id = fingerprints.job_id AND jobs.id = ANY(CAST(%(ids)s AS bigint[]))
