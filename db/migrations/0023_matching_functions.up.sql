-- Rules of matching that several queries ask for. They are inlined into the calling query, as the factors are.

-- Genders as they are numbered in arrays: GENDERS of db/copy_arrays.py.
CREATE FUNCTION gender_number(gender text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE gender WHEN 'male' THEN 1 WHEN 'female' THEN 2 WHEN 'other' THEN 3 ELSE 0 END::smallint;

-- Whether a user who states the first gender is matched with celebrities of the second: with all, if none is stated,
-- else with those whose gender is known and differs. matching/eligibility.py says the same in NumPy.
CREATE FUNCTION may_match_celebrity(stated text, gender text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN stated IS NULL OR gender <> stated;

-- Whether a match that was found differs from the stored one: other weights, or a factor that differs by more than
-- rounding. True if nothing is stored.
CREATE FUNCTION match_differs(
    stored_weights jsonb, stored_embedding float8, stored_geometry float8, stored_age float8,
    stored_symmetry float8, stored_skin_tone float8, stored_expression float8,
    weights jsonb, embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8,
    expression float8
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN stored_weights IS DISTINCT FROM weights OR greatest(
        abs(stored_embedding - embedding), abs(stored_geometry - geometry), abs(stored_age - age),
        abs(stored_symmetry - symmetry), abs(stored_skin_tone - skin_tone), abs(stored_expression - expression)
    ) > 1e-6;
