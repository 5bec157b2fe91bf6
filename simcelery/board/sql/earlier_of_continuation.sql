-- How many jobs in a row go on in this one, the first of them in the second, and so on; at most so many.
WITH RECURSIVE before AS (
    SELECT CAST(%(id)s AS bigint) AS id, 0 AS number
    UNION ALL
    SELECT edge.job_id, number + 1 FROM before
    CROSS JOIN LATERAL (
        SELECT job_id FROM dependencies WHERE parent_id = before.id AND job_id < before.id AND kind = 'then' OFFSET 0
    ) AS edge
    WHERE number < %(most)s
)
SELECT max(number) FROM before
