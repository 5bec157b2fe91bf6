-- The gates at which there is something to do: open one whose canaries have all succeeded, hold what waits at a
-- closed one, or release what waits at an open one.
SELECT id, 'open' AS what FROM gates WHERE closed_by = 'canary' AND (
    SELECT canary.id FROM (SELECT job_id FROM canaries WHERE gate_id = gates.id OFFSET 0) AS named
    CROSS JOIN LATERAL (SELECT id FROM jobs WHERE id = named.job_id AND state <> 'succeeded' OFFSET 0) AS canary
    LIMIT 1
) IS NULL
UNION ALL
SELECT id, 'hold' FROM gates WHERE closed_by IS NOT NULL AND (
    SELECT jobs.id FROM jobs
    WHERE gate_id = gates.id AND state IN ('pending', 'scheduled') AND NOT may_begin(gate_id, jobs.id, attempt)
    LIMIT 1
) IS NOT NULL
UNION ALL
SELECT id, 'release' FROM gates WHERE closed_by IS NULL AND moving
