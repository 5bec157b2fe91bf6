-- The jobs that this one waits for, or has waited for, and where their last attempts have left files.
SELECT parent.id, parent.workflow, parent.state,
    nullif(concat_ws(': ', parent.error_type, parent.error_message), '') AS error,
    CASE WHEN NOT EXISTS (
        SELECT FROM workdirs
        WHERE workdirs.job_id = parent.id AND workdirs.host = attempts.host AND workdirs.done = 'removed'
    ) THEN attempts.workdir END AS workdir
FROM dependencies JOIN jobs AS parent ON parent.id = dependencies.parent_id
LEFT JOIN attempts ON attempts.job_id = parent.id AND attempts.attempt = parent.attempt
WHERE dependencies.job_id = %(job_id)s ORDER BY parent.id
