-- A match job took a trip to the database, beside its search, to see whether the gallery has changed. Now the statement
-- that ends the job looks, and writes nothing if it has.

-- Writes the matches of a match job's face and completes the job. Returns no row, and changes nothing, if the worker no
-- longer has the job in this attempt; and nothing but the pack that serves the face now if that is another one. A match
-- that is stored with the same factors and pack is not written, so that nobody is notified of it again.
--   among_users: whether to match with other users. candidates: the celebrities that may be among the best; stored
--   matches with others are removed; null: do not match with celebrities. message: what the job leaves out, if anything.
--   seen_snapshot, seen_last, seen_server: up to where the log of changes had been read when these were chosen, as
--   gallery_changes reads it. If there is more since, or this may be another server or database, nothing is written and
--   outdated is true. Null: do not look.
-- One plan serves any face and any candidates. Without the setting a connection would plan its first five match jobs one
-- by one, which takes longer than the jobs.
CREATE FUNCTION complete_match_job(
    job uuid, worker uuid, attempt integer, pack text, least_quality float8, current_weights jsonb, threshold float8,
    most integer, among_users boolean, candidates uuid[], message text, seen_snapshot text,
    seen_last bigint, seen_server text
) RETURNS TABLE (serving_pack text, users integer, celebrities integer, outdated boolean)
    LANGUAGE plpgsql SET search_path = '' SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    face uuid;
    seen pg_catalog.pg_snapshot := seen_snapshot;
BEGIN
    -- Index scans, however many changes the planner expects to be new.
    outdated := seen IS NOT NULL AND (
        coalesce((SELECT max(id) FROM public.celebrity_changes) > seen_last, false)
        OR (
            SELECT transaction
            FROM public.celebrity_changes
            WHERE transaction >= pg_snapshot_xmin(seen) AND NOT pg_visible_in_snapshot(transaction, seen)
            ORDER BY transaction
            LIMIT 1
        ) IS NOT NULL
        OR concat_ws(
            '/',
            (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()),
            'public.celebrities'::regclass::oid,
            pg_postmaster_start_time()
        ) <> seen_server
    );
    IF outdated THEN
        RETURN NEXT;
        RETURN;
    END IF;

    -- One match job at a time writes the matches of a face. Other rows may still refer to it. What follows sees what the
    -- job that had it before has written, because each statement has its own snapshot.
    SELECT faces.id, serving.pack_digest INTO face, serving_pack
    FROM public.match_jobs
    JOIN public.faces ON faces.id = match_jobs.face_id
    JOIN public.faces_in_force AS serving ON serving.face_id = faces.id
    WHERE match_jobs.id = job AND locked_by = worker AND attempts = attempt AND status = 'processing'
    FOR UPDATE OF match_jobs
    FOR NO KEY UPDATE OF faces;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF serving_pack <> pack THEN
        RETURN NEXT;
        RETURN;
    END IF;

    IF among_users THEN
        WITH best AS MATERIALIZED (
            SELECT * FROM public.best_users(face, pack, least_quality, current_weights, threshold, most)
        ),
        stored AS (
            INSERT INTO public.matches (
                face_a_id, face_b_id, similarity_score, factor_embedding, factor_geometry, factor_age,
                factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
            )
            SELECT
                least(best.id, face), greatest(best.id, face), score, embedding, geometry, age, symmetry, skin_tone,
                expression, current_weights, pack
            FROM best
            -- In the order of pairs, so that match jobs with pairs in common cannot deadlock.
            ORDER BY least(best.id, face), greatest(best.id, face)
            ON CONFLICT (face_a_id, face_b_id) DO UPDATE SET
                similarity_score = excluded.similarity_score,
                factor_embedding = excluded.factor_embedding,
                factor_geometry = excluded.factor_geometry,
                factor_age = excluded.factor_age,
                factor_symmetry = excluded.factor_symmetry,
                factor_skin_tone = excluded.factor_skin_tone,
                factor_expression = excluded.factor_expression,
                weights = excluded.weights,
                pack_digest = excluded.pack_digest
            WHERE matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR public.match_differs(
                matches.weights, matches.factor_embedding, matches.factor_geometry,
                matches.factor_age, matches.factor_symmetry, matches.factor_skin_tone,
                matches.factor_expression,
                excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
                excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
            )
        )
        SELECT count(*) INTO users FROM best;
    END IF;

    IF candidates IS NOT NULL THEN
        WITH best AS MATERIALIZED (
            SELECT *
            FROM public.best_celebrities(
                face, pack, least_quality, current_weights, threshold, most, candidates
            )
        ),
        stale AS (
            DELETE FROM public.celebrity_matches
            WHERE face_id = face AND celebrity_id NOT IN (SELECT best.id FROM best)
        ),
        stored AS (
            INSERT INTO public.celebrity_matches (
                face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
                factor_symmetry, factor_skin_tone, factor_expression, weights, pack_digest
            )
            SELECT
                face, best.id, score, embedding, geometry, age, symmetry, skin_tone, expression, current_weights, pack
            FROM best
            ORDER BY best.id
            ON CONFLICT (face_id, celebrity_id) DO UPDATE SET
                similarity_score = excluded.similarity_score,
                factor_embedding = excluded.factor_embedding,
                factor_geometry = excluded.factor_geometry,
                factor_age = excluded.factor_age,
                factor_symmetry = excluded.factor_symmetry,
                factor_skin_tone = excluded.factor_skin_tone,
                factor_expression = excluded.factor_expression,
                weights = excluded.weights,
                pack_digest = excluded.pack_digest
            WHERE celebrity_matches.pack_digest IS DISTINCT FROM excluded.pack_digest OR public.match_differs(
                celebrity_matches.weights, celebrity_matches.factor_embedding, celebrity_matches.factor_geometry,
                celebrity_matches.factor_age, celebrity_matches.factor_symmetry, celebrity_matches.factor_skin_tone,
                celebrity_matches.factor_expression,
                excluded.weights, excluded.factor_embedding, excluded.factor_geometry, excluded.factor_age,
                excluded.factor_symmetry, excluded.factor_skin_tone, excluded.factor_expression
            )
        )
        SELECT count(*) INTO celebrities FROM best;
    END IF;

    -- The commit does not wait for the disk: after a crash of the server that loses it, the job is done again. What
    -- others then store about these matches waits, and takes this along, because the log is written in order.
    UPDATE public.match_jobs
    SET status = 'completed',
        completed_at = now(),
        user_matches = users,
        celebrity_matches = celebrities,
        error_message = message,
        locked_by = NULL,
        lease_until = NULL
    FROM set_config('synchronous_commit', 'off', true)
    WHERE id = job;
    RETURN NEXT;
END
$$;

-- As the version before calls it, which looked at the log itself and runs beside this one during an upgrade.
CREATE OR REPLACE FUNCTION complete_match_job(
    job uuid, worker uuid, attempt integer, pack text, least_quality float8, current_weights jsonb, threshold float8,
    most integer, among_users boolean, candidates uuid[], message text
) RETURNS TABLE (serving_pack text, users integer, celebrities integer)
    LANGUAGE plpgsql SET search_path = ''
    AS $$
BEGIN
    RETURN QUERY
    SELECT done.serving_pack, done.users, done.celebrities
    FROM public.complete_match_job(
        job, worker, attempt, pack, least_quality, current_weights, threshold, most, among_users, candidates, message,
        NULL, NULL, NULL
    ) AS done;
END
$$;

REVOKE EXECUTE ON FUNCTION
    complete_match_job(
        uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text, text, bigint, text
    )
    FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION
    complete_match_job(
        uuid, uuid, integer, text, float8, jsonb, float8, integer, boolean, uuid[], text, text, bigint, text
    )
    TO semblance_service;
