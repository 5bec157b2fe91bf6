-- Where the parents' last attempts have left files.
SELECT attempts.workdir FROM dependencies
JOIN jobs AS parent ON parent.id = dependencies.parent_id
JOIN attempts ON attempts.job_id = parent.id AND attempts.attempt = parent.attempt
WHERE dependencies.job_id = %(job_id)s AND attempts.workdir IS NOT NULL
ORDER BY parent.id
