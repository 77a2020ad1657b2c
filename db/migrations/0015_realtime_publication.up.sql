-- The tables that clients can subscribe to on Supabase, those of its publication. Row-level security decides which rows
-- a client hears of, and the privileges on columns which values. Other servers have no such publication.

DO $$
DECLARE
    wanted record;
BEGIN
    -- A publication of all tables, or of whole schemas, already has them and takes no lists of columns.
    IF EXISTS (
        SELECT FROM pg_publication
        WHERE pubname = 'supabase_realtime' AND NOT puballtables
            AND NOT EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid)
    ) THEN
        FOR wanted IN
            SELECT *
            FROM (VALUES
                -- Everything except the factors and weights.
                ('matches', ' (id, face_a_id, face_b_id, similarity_score, created_at)'),
                ('messages', ''),
                ('notifications', ''),
                ('mutual_connections', ''),
                -- Presence, and the other columns that contacts may read. No e-mail address leaves the database.
                ('profiles', ' (id, name, gender, school, default_face_id, last_seen)')
            ) AS tables (name, columns)
            -- Tables that are published already stay as they are.
            WHERE NOT EXISTS (
                SELECT FROM pg_publication_tables
                WHERE pubname = 'supabase_realtime' AND schemaname = 'public' AND tablename = name
            )
            -- With another replica identity than the primary key, a list of columns would make every update fail.
            AND (columns = '' OR EXISTS (
                SELECT FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relname = name AND relreplident = 'd'
            ))
        LOOP
            EXECUTE format('ALTER PUBLICATION supabase_realtime ADD TABLE public.%I%s', wanted.name, wanted.columns);
        END LOOP;
    END IF;
END
$$;
