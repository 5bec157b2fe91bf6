-- Whether a comparison of two encoded values holds. Values of different kinds never compare, whatever the
-- operator, nor does null; NaN equals itself, and is neither smaller nor larger than anything.
CREATE OR REPLACE FUNCTION field_compares(one jsonb, operator text, other jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    ordering boolean := operator NOT IN ('=', '!=');
    a numeric := number_in(one);
    b numeric := number_in(other);
    s text COLLATE "C";
    t text COLLATE "C";
BEGIN
    IF a IS NOT NULL AND b IS NOT NULL THEN
        IF ordering AND (a = 'NaN' OR b = 'NaN') THEN
            RETURN false;
        END IF;
        RETURN CASE operator WHEN '=' THEN a = b WHEN '!=' THEN a <> b WHEN '<' THEN a < b
            WHEN '<=' THEN a <= b WHEN '>' THEN a > b WHEN '>=' THEN a >= b END;
    ELSIF jsonb_typeof(one) = 'string' AND jsonb_typeof(other) = 'string' THEN
        s := one #>> '{}';
        t := other #>> '{}';
        RETURN CASE operator WHEN '=' THEN s = t WHEN '!=' THEN s <> t WHEN '<' THEN s < t
            WHEN '<=' THEN s <= t WHEN '>' THEN s > t WHEN '>=' THEN s >= t END;
    ELSIF jsonb_typeof(one) = 'boolean' AND jsonb_typeof(other) = 'boolean' AND NOT ordering THEN
        RETURN (one = other) = (operator = '=');
    END IF;
    RETURN false;
END
$$
