-- Take the turns that are due: the one after each is due an interval later. A turn that lies further ahead than that was
-- written before Postgres's clock was set back; then none is taken by who does not correct the other times as well.
WITH acts AS (
    SELECT name, make_interval(secs => seconds) AS every
    FROM unnest(CAST(%(names)s AS text[]), CAST(%(intervals)s AS float8[])) AS listed(name, seconds)
), turns AS MATERIALIZED (
    SELECT name, every, next_at > now() + every + make_interval(secs => %(margin)s) AS ahead
    FROM recovery JOIN acts USING (name)
), clock AS MATERIALIZED (
    SELECT coalesce(bool_or(ahead), false) AS set_back FROM turns
), due AS (
    UPDATE recovery SET next_at = now() + every, last_by = %(by)s
    FROM turns, clock
    WHERE recovery.name = turns.name AND (next_at <= now() OR ahead) AND (%(corrects)s OR NOT set_back)
        -- A worker of the version before takes none on a board that was upgraded under it, from that moment on.
        AND (SELECT version_num FROM alembic_version) = %(revision)s
    RETURNING recovery.name
)
SELECT
    (SELECT array_agg(name) FROM due) AS acts,
    -- The newest first: what died without a word stays unended for long.
    (
        SELECT count(*) FROM (
            SELECT FROM workers WHERE ended_at IS NULL AND lease_expires_at > now() ORDER BY id DESC LIMIT %(count_to)s
        ) AS live
    ) AS live,
    set_back
FROM clock
