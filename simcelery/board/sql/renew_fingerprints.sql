UPDATE fingerprints SET fingerprint = job_fingerprint(workflow, version, parameters)
FROM jobs WHERE jobs.id = job_id
    AND jobs.id = ANY(CAST(%(ids)s AS bigint[])) AND job_id = ANY(CAST(%(ids)s AS bigint[]))
