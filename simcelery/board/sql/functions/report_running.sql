-- What running attempts have printed and how far they are; the claims of those that still run. Of one that has
-- ended, or whose job has a newer claim, nothing is written: the row is locked, so that none ends meanwhile.
--
-- Chunks that exist are written again, with the same text or more of it. Those of the middle, which are not
-- kept any more, and those beyond the end of an output that its job has emptied, are deleted.
--
-- For the settings, and for `|| ''`, see finish_attempts.
CREATE OR REPLACE FUNCTION report_running(p_reports jsonb) RETURNS SETOF uuid LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    -- In a statement of its own: the next one sees the rows as they are once they are locked.
    PERFORM FROM jobs
        WHERE id = ANY (ARRAY(SELECT id FROM jsonb_to_recordset(p_reports) AS given(id bigint)))
        ORDER BY id FOR NO KEY UPDATE;
    RETURN QUERY
        WITH mine AS MATERIALIZED (
            SELECT jobs.id, attempt, jobs.claim_id, given.progress, log, log_first, log_start, log_total
            FROM jsonb_to_recordset(p_reports) AS given(
                id bigint, claim_id uuid, progress jsonb, log jsonb, log_first integer, log_start integer,
                log_total integer
            ) JOIN jobs ON jobs.id = given.id
            WHERE jobs.claim_id = given.claim_id AND state || '' = 'running'
        ),
        told AS (
            UPDATE jobs SET progress = mine.progress FROM mine
            WHERE jobs.id = mine.id AND mine.progress IS NOT NULL
        ),
        dropped AS (
            DELETE FROM log_chunks AS earlier USING mine
            WHERE job_id = mine.id AND earlier.attempt = mine.attempt
                AND (seq > log_total OR (seq > log_first AND seq < log_start))
        ),
        logged AS (
            INSERT INTO log_chunks (job_id, attempt, seq, text)
            SELECT mine.id, mine.attempt, chunk.key::integer, chunk.value
            FROM mine, jsonb_each_text(log) AS chunk
            ON CONFLICT (job_id, attempt, seq) DO UPDATE SET text = excluded.text
        )
        SELECT claim_id FROM mine;
END
$$
