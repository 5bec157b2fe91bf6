-- The number that an encoded value is, NaN and infinities among them; null: it is none.
CREATE OR REPLACE FUNCTION number_in(value jsonb) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF jsonb_typeof(value) = 'number' THEN
        RETURN value;
    ELSIF jsonb_typeof(value) = 'object' AND value ? '$float'
        AND value->>'$float' ~ '^(nan|-?inf|-?\d{1,250}(\.\d{1,250})?(e[+-]?\d{1,3})?)$' THEN
        RETURN value->>'$float';
    END IF;
    RETURN NULL;
END
$$
