CREATE OR REPLACE VIEW celebrity_traits WITH (security_invoker = true) AS
    SELECT
        id,
        gender,
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

DROP INDEX idx_celebrities_gender;
CREATE INDEX idx_celebrities_gender ON celebrities (gender);
DROP FUNCTION known_gender(text, text);
ALTER TABLE celebrities DROP COLUMN seen_gender;
