-- When allocations of clusters ran within a window, on how many cores, and which workers they had; at least one row, without a
-- cluster if there are none.
--
-- What runs counts until now; but where nobody has looked after its cluster for long, until its last sign of life. `known`
-- is since when all is there that ran: what ended before may have been pruned. The cores are those that were asked for;
-- where none were, those that its workers have found on their nodes, or on this host, which grants nothing, one for each slot.
WITH frame AS MATERIALIZED (
    SELECT since, until, least(greatest(since, (SELECT max(horizon.until) FROM horizon)), until) AS known
    FROM (
        SELECT now() - make_interval(secs => %(since)s) AS since, now() - make_interval(secs => %(until)s) AS until
    ) AS given
)
SELECT frame.since, frame.until, frame.known AS all_known, spans.*
FROM frame LEFT JOIN LATERAL (
    SELECT allocations.cluster, allocations.cause, its.neglected, its.last_at,
        greatest(ran_from, frame.since) AS start, least(its.last_at, frame.until) AS stop,
        least(greatest(ran_from, frame.known), its.last_at, frame.until) AS known,
        CASE WHEN came.first_at IS NOT NULL THEN greatest(came.first_at, frame.since) END AS first_at,
        coalesce(came.ids, '{}') AS worker_ids,
        coalesce(
            CASE WHEN allocations.cores > 0 THEN allocations.cores END,
            CASE launcher WHEN 'local' THEN slots.number ELSE found.number END
        )::float8 AS cores
    FROM allocations JOIN clusters ON clusters.name = allocations.cluster
    CROSS JOIN LATERAL (
        SELECT min(workers.started_at) AS first_at, max(workers.renewed_at) AS renewed_at, array_agg(workers.id) AS ids
        FROM workers WHERE workers.allocation = allocations.name
    ) AS came
    CROSS JOIN LATERAL (
        SELECT allocations.state <> 'ended' AND round_at < now() - make_interval(secs => %(late)s) AS neglected
    ) AS how
    CROSS JOIN LATERAL (
        SELECT how.neglected, CASE
            WHEN allocations.state = 'ended' THEN least(ran_until, now())
            WHEN how.neglected THEN least(greatest(ran_from, ran_until, came.renewed_at), now())
            ELSE now()
        END AS last_at
    ) AS its
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(greatest(slots, 0)), 0) AS number FROM (
            SELECT max(concurrency) AS slots FROM workers WHERE allocation = allocations.name GROUP BY nodename
        ) AS each
    ) AS slots
    CROSS JOIN LATERAL (
        SELECT sum(its_cores) FILTER (WHERE its_cores > 0) AS number FROM (
            SELECT max(workers.cores) AS its_cores FROM workers WHERE allocation = allocations.name GROUP BY host
        ) AS each
    ) AS found
    WHERE (%(cluster)s::text IS NULL OR allocations.cluster = %(cluster)s)
        AND ran_from < frame.until AND (allocations.state <> 'ended' OR ran_until > frame.since)
        AND its.last_at > frame.since
) AS spans ON true
ORDER BY spans.cluster
