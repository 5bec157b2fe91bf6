-- The names of the limits that hold for a job: of its workflow, of its queue, of each of its tags.
CREATE OR REPLACE FUNCTION limits_of(p_workflow text, p_queue text, p_tags text[]) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(
        SELECT name FROM limits
        WHERE name IN ('workflow:' || p_workflow, 'queue:' || p_queue)
            OR name = ANY (ARRAY(SELECT 'tag:' || tag FROM unnest(p_tags) AS tag))
        ORDER BY name
    );
END
$$
