-- The queue: who holds a job until when, when it is due again, and its result.
ALTER TABLE match_jobs
    ADD COLUMN run_after timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN locked_by uuid,
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN user_matches integer CHECK (user_matches >= 0),
    ADD COLUMN celebrity_matches integer CHECK (celebrity_matches >= 0);

CREATE INDEX idx_match_jobs_due ON match_jobs (run_after, created_at) WHERE status = 'pending';
CREATE INDEX idx_match_jobs_lease ON match_jobs (lease_until) WHERE status = 'processing';
CREATE INDEX idx_match_jobs_finished ON match_jobs (completed_at) WHERE status IN ('completed', 'failed');

-- A job that returns to the queue wakes the workers as a new one does.
CREATE TRIGGER match_jobs_notify_return AFTER UPDATE OF status ON match_jobs
    FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION notify_match_jobs();

-- Matches depend on the profile, so all its faces are matched again when it changes.
CREATE FUNCTION rematch_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    INSERT INTO public.match_jobs (face_id, user_id)
    SELECT id, NEW.id
    FROM public.faces
    WHERE profile_id = NEW.id AND NOT EXISTS (
        SELECT FROM public.match_jobs WHERE face_id = faces.id AND status = 'pending'
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER profiles_rematch AFTER UPDATE OF school, gender ON profiles
    FOR EACH ROW WHEN (
        NEW.profile_type = 'user'
        AND (OLD.school IS DISTINCT FROM NEW.school OR OLD.gender IS DISTINCT FROM NEW.gender)
    ) EXECUTE FUNCTION rematch_profile();

-- What changed in the gallery and by which transaction, so that a process with the gallery in memory can read exactly
-- what it has not seen yet. Rows are removed after a day.
CREATE TABLE celebrity_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    celebrity_id uuid NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_celebrity_changes_transaction ON celebrity_changes (transaction, celebrity_id);
CREATE INDEX idx_celebrity_changes_created_at ON celebrity_changes (created_at);

CREATE FUNCTION note_celebrity_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO public.celebrity_changes (celebrity_id) SELECT id FROM public.celebrities;
    ELSE
        INSERT INTO public.celebrity_changes (celebrity_id) SELECT id FROM changed;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER celebrities_note_insert AFTER INSERT ON celebrities
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_update AFTER UPDATE ON celebrities
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_delete AFTER DELETE ON celebrities
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();
CREATE TRIGGER celebrities_note_truncate BEFORE TRUNCATE ON celebrities
    FOR EACH STATEMENT EXECUTE FUNCTION note_celebrity_changes();

ALTER TABLE celebrity_changes ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON celebrity_changes FROM authenticated, anon;
REVOKE ALL ON SEQUENCE celebrity_changes_id_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION rematch_profile(), note_celebrity_changes() FROM PUBLIC, authenticated, anon;
GRANT SELECT, DELETE ON celebrity_changes TO semblance_service;
CREATE POLICY celebrity_changes_service ON celebrity_changes TO semblance_service
    USING (true) WITH CHECK (true);

-- The six factors of a match, 0..1; matching/scoring.py is the same in NumPy and says where they come from. Names in
-- unquoted bodies are resolved here, regardless of the caller's search_path, and unlike functions that set one these
-- are inlined into the calling query. PostgreSQL raises an error when a product underflows, so differences are kept
-- above 1e-30: one odd row must not fail a search.
CREATE FUNCTION embedding_factor(a vector, b vector) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(0, coalesce(nullif(1 - (a <=> b), 'NaN'), 0));

CREATE FUNCTION geometry_factor(a float8[], b float8[]) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 - least(1, sqrt(
        (abs(a[1] - b[1]) + 1e-30) ^ 2 + (abs(a[2] - b[2]) + 1e-30) ^ 2
        + (abs(a[3] - b[3]) + 1e-30) ^ 2 + (abs(a[4] - b[4]) + 1e-30) ^ 2
    ));

CREATE FUNCTION age_factor(a integer, b integer) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(a - b) <= 2 THEN 1.0 WHEN abs(a - b) <= 5 THEN 0.9 WHEN abs(a - b) <= 10 THEN 0.7
        ELSE 0.5 END;

CREATE FUNCTION symmetry_factor(a float8, b float8) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(a + b, 1e-30) / 2;

CREATE FUNCTION skin_tone_factor(a float8[], b float8[]) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 - least(1, sqrt(
        (abs(a[1] - b[1]) + 1e-30) ^ 2 + (abs(a[2] - b[2]) + 1e-30) ^ 2 + (abs(a[3] - b[3]) + 1e-30) ^ 2
    ) / 100);

CREATE FUNCTION expression_factor(a smallint, b smallint) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN a = b THEN 1.0 ELSE 0.6 END;

CREATE FUNCTION match_score(
    embedding float8, geometry float8, age float8, symmetry float8, skin_tone float8, expression float8,
    weights jsonb
) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN least(1, greatest(0,
        (weights -> 'embedding')::float8 * embedding
        + (weights -> 'geometry')::float8 * geometry
        + (weights -> 'age')::float8 * age
        + (weights -> 'symmetry')::float8 * symmetry
        + (weights -> 'skin_tone')::float8 * skin_tone
        + (weights -> 'expression')::float8 * expression
    ));

-- One of the four ratios; null unless it is a number that a face can have.
CREATE FUNCTION geometry_ratio(ratios jsonb, name text) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(ratios -> name) = 'number' THEN
        CASE WHEN (ratios -> name)::numeric BETWEEN 0 AND 10 THEN round((ratios -> name)::numeric, 9)::float8 END
    END;

-- What the factors compare, complete: missing and impossible values are replaced as the rules say. `expression` is the
-- index in the list of seven. A role that may read the table may read its view.
CREATE VIEW face_traits WITH (security_invoker = true) AS
    SELECT
        id,
        profile_id,
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
    FROM faces;

CREATE VIEW celebrity_traits WITH (security_invoker = true) AS
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

REVOKE ALL ON face_traits, celebrity_traits FROM authenticated, anon;
GRANT SELECT ON face_traits, celebrity_traits TO semblance_service;
