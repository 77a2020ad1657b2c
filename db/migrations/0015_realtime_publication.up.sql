-- On Supabase, what clients subscribe to: the tables of its publication. Row-level security decides which rows
-- a client hears of, and the columns it may read what it hears of them. Elsewhere there is no such publication.

DO $$
DECLARE
    wanted record;
BEGIN
    -- One of whole schemas says what it wants, too, and takes no lists of columns.
    IF EXISTS (
        SELECT FROM pg_publication
        WHERE pubname = 'supabase_realtime' AND NOT puballtables
            AND NOT EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = pg_publication.oid)
    ) THEN
        FOR wanted IN
            SELECT *
            FROM (VALUES
                -- All but the factors and weights.
                ('matches', ' (id, face_a_id, face_b_id, similarity_score, created_at)'),
                ('messages', ''),
                ('notifications', ''),
                ('mutual_connections', ''),
                -- Presence, and what else contacts read. No e-mail address leaves the database.
                ('profiles', ' (id, name, gender, school, default_face_id, last_seen)')
            ) AS tables (name, columns)
            -- What is there stays as it is.
            WHERE NOT EXISTS (
                SELECT FROM pg_publication_tables
                WHERE pubname = 'supabase_realtime' AND schemaname = 'public' AND tablename = name
            )
            -- Where whole rows tell the old from the new, a list of columns would forbid every change of a row.
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
