-- The row of `needs` that says what this JSON object does: the one that is there, or a new one.
CREATE OR REPLACE FUNCTION needs_of(p_needs jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_memory bigint := (p_needs->>'memory')::bigint;
    v_cores integer := (p_needs->>'cores')::integer;
    v_gpus integer := (p_needs->>'gpus')::integer;
    v_escalation jsonb := (p_needs->>'escalation')::jsonb;
    v_id bigint;
BEGIN
    LOOP
        SELECT id INTO v_id FROM needs
            WHERE coalesce(memory, 0) = coalesce(v_memory, 0) AND coalesce(cores, 0) = coalesce(v_cores, 0)
                AND coalesce(gpus, 0) = coalesce(v_gpus, 0)
                AND coalesce(escalation, '{}') = coalesce(v_escalation, '{}');
        IF FOUND THEN
            RETURN v_id;
        END IF;
        INSERT INTO needs (memory, cores, gpus, escalation) VALUES (v_memory, v_cores, v_gpus, v_escalation)
            ON CONFLICT DO NOTHING; -- having waited for whoever is inserting the same
    END LOOP;
END
$$
