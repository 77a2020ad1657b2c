DROP FUNCTION match_differs(
    jsonb, float8, float8, float8, float8, float8, float8, jsonb, float8, float8, float8, float8, float8, float8
);
DROP FUNCTION may_match_celebrity(text, text);
DROP FUNCTION gender_number(text);
