-- Ids are not below the microseconds since 1970. Some commits do not wait for the disk, and a crash of the server can
-- lose events that were told already: their ids are then not given to others, which a reader would take for read.
CREATE OR REPLACE FUNCTION publish_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8319385479046456435);
    UPDATE public.events
    SET id = setval('public.events_id_seq', greatest(
            nextval('public.events_id_seq'), (extract(epoch FROM clock_timestamp()) * 1e6)::bigint
        )),
        created_at = clock_timestamp()
    WHERE number = NEW.number;
    PERFORM pg_notify('events', '');
    RETURN NULL;
END
$$;
