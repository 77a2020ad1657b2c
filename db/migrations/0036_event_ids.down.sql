-- Ids go on from the last one.
CREATE OR REPLACE FUNCTION publish_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(8319385479046456435);
    UPDATE public.events
    SET id = nextval('public.events_id_seq'), created_at = clock_timestamp()
    WHERE number = NEW.number;
    PERFORM pg_notify('events', '');
    RETURN NULL;
END
$$;
