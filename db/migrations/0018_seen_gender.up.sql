-- The gender the analyzer saw in a celebrity's picture.
ALTER TABLE celebrities ADD COLUMN seen_gender text CHECK (seen_gender IN ('male', 'female'));

-- The gender that counts: the stated one, or else the one that was seen.
CREATE FUNCTION known_gender(stated text, seen text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(stated, seen);

DROP INDEX idx_celebrities_gender;
CREATE INDEX idx_celebrities_gender ON celebrities (known_gender(gender, seen_gender));

-- A celebrity who is ingested again gets the gender that was seen.
GRANT UPDATE (seen_gender) ON celebrities TO semblance_service;

CREATE OR REPLACE VIEW celebrity_traits WITH (security_invoker = true) AS
    SELECT
        id,
        known_gender(gender, seen_gender) AS gender,
        category,
        pack_digest,
        embedding,
        coalesce(quality_score, 0.6) AS quality,
        ARRAY[
            coalesce(geometry_ratio(geometry_ratios, 'face_width_height_ratio'), 0.75),
            coalesce(geometry_ratio(geometry_ratios, 'eye_spacing_face_width'), 0.42),
            coalesce(geometry_ratio(geometry_ratios, 'jawline_width_face_width'), 0.68),
            coalesce(geometry_ratio(geometry_ratios, 'nose_width_face_width'), 0.25)
        ] AS geometry,
        coalesce(age, 25) AS age,
        coalesce(symmetry_score, 0.75) AS symmetry,
        ARRAY[
            CASE WHEN skin_tone_lab[1] BETWEEN 0 AND 100 THEN skin_tone_lab[1] ELSE 65 END,
            CASE WHEN skin_tone_lab[2] BETWEEN -200 AND 200 THEN skin_tone_lab[2] ELSE 10 END,
            CASE WHEN skin_tone_lab[3] BETWEEN -200 AND 200 THEN skin_tone_lab[3] ELSE 20 END
        ] AS skin_tone,
        (array_position(
            ARRAY['happy', 'neutral', 'sad', 'angry', 'surprise', 'fear', 'disgust'],
            coalesce(expression, 'neutral')
        ) - 1)::smallint AS expression
    FROM celebrities;
