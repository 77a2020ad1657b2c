-- What the rows of the old app need, and what is kept of them.

-- name: prepare
-- A separate schema, which no API shows. `old_tables` says which tables were there at the beginning.
CREATE SCHEMA IF NOT EXISTS semblance_adoption;

CREATE TABLE IF NOT EXISTS semblance_adoption.old_tables (name text PRIMARY KEY);

-- Corrected values, as they were before.
CREATE TABLE IF NOT EXISTS semblance_adoption.kept_values (
    table_name text NOT NULL,
    row_id text NOT NULL,
    column_name text NOT NULL,
    value jsonb,
    kept_at timestamptz NOT NULL DEFAULT now()
);

-- Rows that are a second one of what may be there once, or that say nothing a rule allows.
CREATE TABLE IF NOT EXISTS semblance_adoption.kept_rows (
    table_name text NOT NULL,
    reason text NOT NULL,
    content jsonb NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);

-- Matches and connections that became one with another: clients may know them by their old ids.
CREATE TABLE IF NOT EXISTS semblance_adoption.merged (lost uuid PRIMARY KEY, kept uuid NOT NULL);

CREATE OR REPLACE FUNCTION semblance_adoption.keep(table_name text, row_id text, column_name text, value jsonb)
    RETURNS void
    LANGUAGE sql SET search_path = ''
    AS $$
        INSERT INTO semblance_adoption.kept_values (table_name, row_id, column_name, value) VALUES ($1, $2, $3, $4)
    $$;

CREATE OR REPLACE FUNCTION semblance_adoption.kept_id(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce((SELECT kept FROM semblance_adoption.merged WHERE lost = $1), $1)
    $$;

-- Whether what is being written is written with an end user's own rights.
CREATE OR REPLACE FUNCTION semblance_adoption.is_for_end_user() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT coalesce(nullif(current_setting('role'), 'none'), session_user::text) IN ('authenticated', 'anon')
    $$;

-- Whether the caller has no business with a picture: another's row names it, or it is one of those that only
-- this service makes. The old rights are for whole rows, and the API would sign the address for them.
CREATE OR REPLACE FUNCTION semblance_adoption.is_picture_of_others(named text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = ''
    AS $$
BEGIN
    RETURN (named ~ '\.(full|feed|thumbnail)\.jpg$' OR public.is_named_picture(named))
        AND NOT EXISTS (SELECT FROM public.faces WHERE image_path = named AND profile_id = auth.uid())
        AND NOT EXISTS (SELECT FROM public.babies WHERE image_url = named AND generated_by_profile_id = auth.uid());
END
$$;

-- Two sessions that write the same pair at the same moment do so one after the other, so that the second sees the
-- row of the first. All pairs share a thousand locks, because the server has room for a few thousand.
CREATE OR REPLACE FUNCTION semblance_adoption.hold_pair(a uuid, b uuid) RETURNS void
    LANGUAGE sql SET search_path = ''
    AS $$
        SELECT pg_advisory_xact_lock(1397050692, hashtext(concat(a, b)) & 1023)
    $$;

REVOKE ALL ON SCHEMA semblance_adoption FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA semblance_adoption FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA semblance_adoption FROM PUBLIC;

-- name: close
-- After the last step. What was kept stays until somebody drops the schema.
DROP FUNCTION
    semblance_adoption.keep(text, text, text, jsonb),
    semblance_adoption.kept_id(uuid),
    semblance_adoption.is_for_end_user(),
    semblance_adoption.is_picture_of_others(text),
    semblance_adoption.hold_pair(uuid, uuid);
DROP TABLE semblance_adoption.old_tables;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM semblance_adoption.kept_values)
        AND NOT EXISTS (SELECT FROM semblance_adoption.kept_rows)
    THEN
        DROP SCHEMA semblance_adoption CASCADE;
    END IF;
END
$$;

-- name: merge_matches
-- Two faces have one match, the first one found; rows that refer to the others now refer to it. Sessions that
-- write such rows wait meanwhile, so that the bridge can lead them to the match that stays.
CREATE TEMPORARY TABLE doubled ON COMMIT DROP AS
SELECT id AS lost, kept
FROM (
    SELECT id, first_value(id) OVER (
        PARTITION BY least(face_a_id, face_b_id), greatest(face_a_id, face_b_id) ORDER BY created_at, id
    ) AS kept
    FROM public.matches
) AS found
WHERE id <> kept;

LOCK TABLE public.reactions, public.babies, public.mutual_connections IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO semblance_adoption.kept_rows (table_name, reason, content)
SELECT 'matches', 'second match of the same faces', to_jsonb(matches)
FROM public.matches WHERE id IN (SELECT lost FROM doubled);

INSERT INTO semblance_adoption.merged SELECT lost, kept FROM doubled ON CONFLICT DO NOTHING;

-- A reaction that the kept match, or another lost one of it, has already, goes with its match.
UPDATE public.reactions AS r
SET match_id = moved.kept
FROM (
    SELECT DISTINCT ON (kept, user_profile_id, reaction_type) reactions.id, kept
    FROM public.reactions
    JOIN (SELECT lost, kept FROM doubled UNION SELECT kept, kept FROM doubled) AS pairs ON match_id = lost
    ORDER BY kept, user_profile_id, reaction_type, match_id <> kept, reactions.created_at, reactions.id
) AS moved
WHERE r.id = moved.id AND r.match_id <> moved.kept;

INSERT INTO semblance_adoption.kept_rows (table_name, reason, content)
SELECT 'reactions', 'second reaction to the same match', to_jsonb(reactions)
FROM public.reactions WHERE match_id IN (SELECT lost FROM doubled);
DELETE FROM public.reactions WHERE match_id IN (SELECT lost FROM doubled);

UPDATE public.babies SET match_id = kept FROM doubled WHERE match_id = lost;
UPDATE public.mutual_connections SET match_id = kept FROM doubled WHERE match_id = lost;
UPDATE public.notifications SET related_id = kept FROM doubled WHERE related_id = lost;
{others}
DELETE FROM public.matches WHERE id IN (SELECT lost FROM doubled);

-- name: merge_connections
-- Two people are connected once: the first connection stays, with the messages of all. One that is blocked
-- blocks it.
CREATE TEMPORARY TABLE doubled ON COMMIT DROP AS
SELECT id AS lost, kept
FROM (
    SELECT id, first_value(id) OVER (
        PARTITION BY least(profile_a_id, profile_b_id), greatest(profile_a_id, profile_b_id)
        ORDER BY created_at, id
    ) AS kept
    FROM public.mutual_connections
) AS found
WHERE id <> kept;

LOCK TABLE public.messages IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO semblance_adoption.kept_rows (table_name, reason, content)
SELECT 'mutual_connections', 'second connection of the same two', to_jsonb(mutual_connections)
FROM public.mutual_connections WHERE id IN (SELECT lost FROM doubled);

INSERT INTO semblance_adoption.merged SELECT lost, kept FROM doubled ON CONFLICT DO NOTHING;

UPDATE public.mutual_connections SET status = 'blocked'
WHERE status <> 'blocked' AND id IN (
    SELECT kept FROM doubled JOIN public.mutual_connections ON mutual_connections.id = lost
    WHERE status = 'blocked'
);
UPDATE public.messages SET connection_id = kept FROM doubled WHERE connection_id = lost;
UPDATE public.notifications SET related_id = kept FROM doubled WHERE related_id = lost;
{others}
DELETE FROM public.mutual_connections WHERE id IN (SELECT lost FROM doubled);

-- name: count_kept
SELECT
    (SELECT count(*) FROM semblance_adoption.kept_values) AS "values",
    (SELECT count(*) FROM semblance_adoption.kept_rows) AS rows;

-- name: keep_foreign_revision
-- Another app's table of versions is replaced by this app's.
DO $$
BEGIN
    IF to_regclass('public.alembic_version') IS NOT NULL THEN
        INSERT INTO semblance_adoption.kept_values (table_name, row_id, column_name, value)
        SELECT 'alembic_version', version_num, 'version_num', to_jsonb(version_num) FROM public.alembic_version;
    END IF;
END
$$;

-- Templates: names in braces come from the catalogs, quoted where SQL needs it, and conditions from there or
-- from the rules.

-- name: keep_value
INSERT INTO semblance_adoption.kept_values (table_name, row_id, column_name, value)
SELECT '{table}', id::text, '{column}', to_jsonb({value}) FROM public.{table} WHERE {condition};

-- name: clear_value
UPDATE public.{table} SET {column} = NULL WHERE {condition};

-- name: lead_over
UPDATE public.{table} SET {column} = kept FROM doubled WHERE {column} = lost;

-- name: keep_row
INSERT INTO semblance_adoption.kept_rows (table_name, reason, content)
SELECT '{table}', '{reason}', to_jsonb(old) FROM public.{table} AS old WHERE {condition};

-- name: delete_row
DELETE FROM public.{table} WHERE {condition};

-- name: count_rows
SELECT count({what}) FROM public.{table} WHERE {condition};

-- name: count_refused
-- Columns that are yet to come count as empty.
SELECT count(*) FROM (SELECT {columns} FROM public.{table} AS present) AS rows WHERE {condition};

-- name: put_right
-- Writes the next rows once more, so that the bridge sees them; returns the key of the last row. $1: that of
-- the batch before.
WITH batch AS MATERIALIZED (
    SELECT {key} AS picked
    FROM public.{table}
    WHERE ($1::text IS NULL OR {key} > $1::text::{type}) AND ({condition})
    ORDER BY {key}
    LIMIT {limit}
    FOR NO KEY UPDATE
),
written AS (
    UPDATE public.{table} SET {key} = {key} FROM batch WHERE {key} = picked
)
SELECT picked::text FROM batch ORDER BY picked DESC LIMIT 1;

-- name: copy_celebrities
-- Of duplicate pictures, the first keeps the hash.
INSERT INTO public.celebrities ({columns}, name, gender, image_hash)
SELECT
    {values},
    coalesce(public.usable_name(profiles.name), 'Unknown'),
    CASE WHEN profiles.gender IN ('male', 'female') THEN profiles.gender ELSE faces.gender END,
    CASE
        WHEN row_number() OVER (PARTITION BY faces.image_hash ORDER BY faces.created_at, faces.id) = 1
            THEN faces.image_hash
    END
FROM public.faces
JOIN public.profiles ON profiles.id = profile_id
WHERE profile_type = 'celebrity' AND NOT EXISTS (
    SELECT FROM public.celebrities AS known WHERE known.id = faces.id OR known.image_hash = faces.image_hash
)
ON CONFLICT DO NOTHING;

-- name: copy_celebrity_matches
INSERT INTO public.celebrity_matches (face_id, celebrity_id, similarity_score, created_at)
SELECT own.id, celebrities.id, least(1, greatest(0, similarity_score)), matched_at
FROM public.profiles AS celebrity
JOIN public.faces ON faces.profile_id = celebrity.id
JOIN public.celebrities ON celebrities.id = faces.id
CROSS JOIN LATERAL (
    SELECT face_b_id AS other, similarity_score, created_at AS matched_at
    FROM public.matches WHERE face_a_id = faces.id
    UNION ALL
    SELECT face_a_id, similarity_score, created_at FROM public.matches WHERE face_b_id = faces.id
) AS found
JOIN public.faces AS own ON own.id = other
JOIN public.profiles ON profiles.id = own.profile_id AND profiles.profile_type = 'user'
WHERE celebrity.profile_type = 'celebrity'
ON CONFLICT (face_id, celebrity_id) DO NOTHING;

-- name: add_people
INSERT INTO public.people (id, name, bio, category, gender, created_at)
SELECT DISTINCT ON (person) person, name, bio, category, gender, coalesce(created_at, now())
FROM (
    SELECT
        public.person_called(name, category, id) AS person, id, name, bio, category, gender, created_at
    FROM public.celebrities
    WHERE person_id IS NULL AND name IS NOT NULL
) AS alone
ORDER BY person, created_at, id
ON CONFLICT (id) DO NOTHING;

-- name: assign_people
UPDATE public.celebrities
SET person_id = public.person_called(name, category, id)
WHERE person_id IS NULL AND name IS NOT NULL;

-- name: note_old_tables
INSERT INTO semblance_adoption.old_tables VALUES {names} ON CONFLICT DO NOTHING;

-- Conditions: rows whose key an earlier one has, rows that lead to nothing, and rows that lead to certain others.

-- name: later_doubles
id IN (
    SELECT id
    FROM (
        SELECT id, row_number() OVER (PARTITION BY {keys} ORDER BY created_at, id) AS place
        FROM public.{table}
        WHERE num_nulls({keys}) = 0
    ) AS found
    WHERE place > 1
);

-- name: orphaned
{column} IS NOT NULL AND NOT EXISTS (SELECT FROM public.{refers_to} AS other WHERE other.id = {column});

-- name: leading
{column} IN (SELECT id FROM public.{table} WHERE {condition});
