-- Numbers may have the same hash and be written differently: 1 and 1.0 are not the same to a workflow.
WITH given AS MATERIALIZED (
    SELECT asked.*, job_fingerprint(asked.workflow, asked.version, asked.parameters) AS fingerprint
    FROM (
        SELECT key, workflow, version, CAST(parameters AS jsonb) AS parameters
        FROM unnest(
            CAST(%(keys)s AS text[]), CAST(%(workflows)s AS text[]), CAST(%(versions)s AS text[]),
            CAST(%(parameters)s AS text[])
        ) AS listed(key, workflow, version, parameters)
    ) AS asked
), near AS (
    SELECT given.key, found.job_id FROM given CROSS JOIN LATERAL (
        SELECT job_id FROM fingerprints WHERE fingerprint = given.fingerprint OFFSET 0
    ) AS found
    UNION ALL
    SELECT given.key, recent.id FROM given JOIN (
        SELECT id, job_fingerprint(workflow, version, parameters) AS fingerprint FROM jobs
        WHERE id > (SELECT coalesce(max(job_id), 0) FROM fingerprints) OFFSET 0
    ) AS recent USING (fingerprint)
)
SELECT DISTINCT ON (given.key) given.key, found.id
FROM near JOIN given USING (key) CROSS JOIN LATERAL (
    SELECT id, state FROM jobs
    WHERE id = near.job_id AND workflow = given.workflow AND version = given.version
        AND CAST(parameters AS text) = CAST(given.parameters AS text)
    OFFSET 0
) AS found
ORDER BY given.key, CASE WHEN state = 'succeeded' THEN 0
    WHEN state IN ('failed', 'cancelled', 'upstream_failed') THEN 2 ELSE 1 END, found.id
