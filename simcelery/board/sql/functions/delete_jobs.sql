-- Delete jobs that have ended, with all that is theirs: what a worker may do that may not delete any job it likes.
-- Hence it runs with the rights of its owner, and sees no table or operator that its caller has put in the way.
CREATE OR REPLACE FUNCTION delete_jobs(p_ids bigint[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_deleted bigint;
BEGIN
    -- With `+ interval '0'` the ids are looked up, and not all that have ended: these may seem to be few.
    DELETE FROM jobs WHERE id = ANY (p_ids) AND finished_at + interval '0' IS NOT NULL;
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END
$$;
REVOKE EXECUTE ON FUNCTION delete_jobs(bigint[]) FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION delete_jobs(bigint[]) SET search_path = %I, pg_temp', current_schema());
END
$$
