CREATE OR REPLACE FUNCTION delete_account(whose uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    outcome text := public.lock_account(whose, false);
    own uuid[];
    gone_matches uuid[];
    gone_connections uuid[];
BEGIN
    IF outcome <> 'changed' THEN
        RETURN outcome;
    END IF;
    PERFORM FROM public.faces WHERE profile_id = whose ORDER BY id FOR UPDATE;
    own := ARRAY(SELECT id FROM public.faces WHERE profile_id = whose);
    gone_matches := ARRAY(
        SELECT id FROM public.matches WHERE face_a_id = ANY (own) OR face_b_id = ANY (own) ORDER BY id FOR UPDATE
    );
    gone_connections := ARRAY(
        SELECT id
        FROM public.mutual_connections
        WHERE whose IN (profile_a_id, profile_b_id) OR match_id = ANY (gone_matches)
    );
    DELETE FROM public.notifications
    WHERE user_id IN (
            SELECT profile_id
            FROM public.matches JOIN public.faces ON faces.id IN (face_a_id, face_b_id)
            WHERE matches.id = ANY (gone_matches)
            UNION
            SELECT unnest(ARRAY[profile_a_id, profile_b_id])
            FROM public.mutual_connections
            WHERE id = ANY (gone_connections)
        )
        AND (
            connection_id = ANY (gone_connections)
            OR related_id IN (
                SELECT unnest(gone_matches || gone_connections)
                UNION ALL
                SELECT id FROM public.babies WHERE match_id = ANY (gone_matches)
                UNION ALL
                SELECT id FROM public.messages WHERE connection_id = ANY (gone_connections)
            )
        );
    INSERT INTO public.events (type, audience, payload)
    VALUES ('session_ended', ARRAY[whose], '{"everywhere": true}');
    DELETE FROM public.profiles WHERE id = whose;
    RETURN 'changed';
END
$$;
