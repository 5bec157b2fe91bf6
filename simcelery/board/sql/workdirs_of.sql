-- What a job that has ended says of its workdirs on a host. Nobody retries it before this transaction ends.
SELECT keep, state, EXISTS (
        SELECT FROM dependencies JOIN jobs AS dependent ON dependent.id = dependencies.job_id
        WHERE dependencies.parent_id = jobs.id AND dependent.finished_at IS NULL
    ) AS needed, EXISTS (
        SELECT FROM artifacts WHERE artifacts.job_id = jobs.id AND artifacts.claim_id = jobs.claim_id
            AND artifacts.host = %(host)s AND url IS NULL
    ) AS treasured, (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'attempt', attempt, 'claim_id', claim_id, 'workdir', workdir
        ) ORDER BY attempt), '[]')
        FROM attempts WHERE attempts.job_id = jobs.id AND attempts.host = %(host)s
    ) AS attempts
FROM jobs WHERE id = %(job_id)s AND finished_at IS NOT NULL
FOR SHARE
