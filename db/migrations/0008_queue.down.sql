DROP VIEW celebrity_traits;
DROP VIEW face_traits;
DROP FUNCTION geometry_ratio(jsonb, text);
DROP FUNCTION match_score(float8, float8, float8, float8, float8, float8, jsonb);
DROP FUNCTION expression_factor(smallint, smallint);
DROP FUNCTION skin_tone_factor(float8[], float8[]);
DROP FUNCTION symmetry_factor(float8, float8);
DROP FUNCTION age_factor(integer, integer);
DROP FUNCTION geometry_factor(float8[], float8[]);
DROP FUNCTION embedding_factor(vector, vector);
DROP TRIGGER celebrities_note_truncate ON celebrities;
DROP TRIGGER celebrities_note_delete ON celebrities;
DROP TRIGGER celebrities_note_update ON celebrities;
DROP TRIGGER celebrities_note_insert ON celebrities;
DROP FUNCTION note_celebrity_changes();
DROP TABLE celebrity_changes;
DROP TRIGGER profiles_rematch ON profiles;
DROP FUNCTION rematch_profile();
DROP TRIGGER match_jobs_notify_return ON match_jobs;
DROP INDEX idx_match_jobs_finished;
ALTER TABLE match_jobs
    DROP COLUMN celebrity_matches,
    DROP COLUMN user_matches,
    DROP COLUMN lease_until,
    DROP COLUMN locked_by,
    DROP COLUMN run_after;
