-- name: probe_face
-- The face $1 and its user, with the embedding that serves.
SELECT
    image_path, school, profiles.gender, serving.pack_digest, stored.embedding, geometry_ratios, age, symmetry_score,
    skin_tone_lab, expression
FROM faces
JOIN profiles ON profiles.id = faces.profile_id
JOIN faces_in_force AS serving ON serving.face_id = faces.id
LEFT JOIN face_embeddings AS stored ON stored.face_id = faces.id AND stored.pack_digest = serving.pack_digest
WHERE faces.id = $1;

-- name: complete_face
-- Completes the face $1, which was stored with its photo alone. Changes nothing if it is complete.
UPDATE faces
SET embedding = $2, pack_digest = $3, age = $4, quality_score = $5, blur_score = $6,
    illumination_score = $7, symmetry_score = $8, landmarks_68 = $9, pose = $10, geometry_ratios = $11,
    skin_tone_lab = $12, expression = $13, expression_confidence = $14, emotion_scores = $15,
    analyzed_at = $16, gender = $17
WHERE id = $1 AND embedding IS NULL;
