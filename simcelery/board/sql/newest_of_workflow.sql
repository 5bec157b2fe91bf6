-- The newest jobs of a workflow, as many as their parameters fit together into a client's memory.
SELECT id, version, parameters FROM (
    SELECT id, version, parameters, sum(pg_column_size(parameters)) OVER (ORDER BY id DESC) AS total
    FROM (
        SELECT id, version, parameters FROM jobs WHERE workflow = %(workflow)s ORDER BY id DESC LIMIT %(most)s
    ) AS newest
) AS summed
WHERE total < 8388608 ORDER BY id DESC
