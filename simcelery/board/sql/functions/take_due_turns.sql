-- Take the turns that are due: the one after each is due an interval later. A turn that lies further ahead than that was
-- written before Postgres's clock was set back; then none is taken by who does not correct the other times as well.
--
-- For the settings see finish_attempts.
CREATE OR REPLACE FUNCTION take_due_turns(
    p_names text[], p_intervals float8[], p_by text, p_count_to integer, p_margin float8, p_revision text,
    p_corrects boolean
) RETURNS TABLE (acts text[], live bigint, set_back boolean) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH acts AS (
            SELECT name, make_interval(secs => seconds) AS every
            FROM unnest(p_names, p_intervals) AS listed(name, seconds)
        ), turns AS MATERIALIZED (
            SELECT name, every, next_at > now() + every + make_interval(secs => p_margin) AS ahead
            FROM recovery JOIN acts USING (name)
        ), clock AS MATERIALIZED (
            SELECT coalesce(bool_or(ahead), false) AS set_back FROM turns
        ), due AS (
            UPDATE recovery SET next_at = now() + every, last_by = p_by
            FROM turns, clock
            WHERE recovery.name = turns.name AND (next_at <= now() OR ahead) AND (p_corrects OR NOT set_back)
                -- A worker of the version before takes none on a board that was upgraded under it, from then on.
                AND (SELECT version_num FROM alembic_version) = p_revision
            RETURNING recovery.name
        )
        SELECT
            (SELECT array_agg(name) FROM due),
            -- The newest first: what died without a word stays unended for long.
            (
                SELECT count(*) FROM (
                    SELECT FROM workers WHERE ended_at IS NULL AND lease_expires_at > now()
                    ORDER BY id DESC LIMIT p_count_to
                ) AS live
            ),
            set_back
        FROM clock;
END
$$
