-- Whether an encoded value equals one in a list of encoded values. Finite numbers in the list are plain.
CREATE OR REPLACE FUNCTION field_is_in(value jsonb, list jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    a numeric := number_in(value);
BEGIN
    IF a IS NOT NULL AND a NOT IN ('NaN', 'Infinity', '-Infinity') THEN
        RETURN list @> jsonb_build_array(a);
    ELSIF a IS NOT NULL OR jsonb_typeof(value) IN ('string', 'boolean') THEN
        RETURN list @> jsonb_build_array(value);
    END IF;
    RETURN false;
END
$$
