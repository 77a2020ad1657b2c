-- The live feed, newest first: read by key, one index entry per row shown.
CREATE INDEX idx_matches_feed ON matches (created_at DESC, id DESC);
CREATE INDEX idx_profiles_online ON profiles (online) WHERE online;

-- The number of matches, as the sum over all rows, because counting half a million takes longer than the rest of a
-- request for the feed. Writers of one row would wait for each other until commit, so each takes an unlocked row or
-- adds one: there are as many rows as there were ever concurrent writers.
CREATE TABLE match_counts (
    slot integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    count bigint NOT NULL
);

CREATE FUNCTION count_matches() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    change bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.match_counts;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO change FROM added;
    ELSE
        SELECT -count(*) INTO change FROM removed;
    END IF;
    IF change <> 0 THEN
        UPDATE public.match_counts
        SET count = count + change
        WHERE slot = (SELECT slot FROM public.match_counts ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED);
        IF NOT FOUND THEN
            INSERT INTO public.match_counts (count) VALUES (change);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER matches_count_added AFTER INSERT ON matches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();
CREATE TRIGGER matches_count_removed AFTER DELETE ON matches
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();
CREATE TRIGGER matches_count_none AFTER TRUNCATE ON matches
    FOR EACH STATEMENT EXECUTE FUNCTION count_matches();

-- After the triggers, whose lock keeps writers out until this is committed.
INSERT INTO match_counts (count) SELECT count(*) FROM matches;

ALTER TABLE match_counts ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON match_counts TO semblance_service;
REVOKE ALL ON match_counts FROM authenticated, anon;
REVOKE ALL ON SEQUENCE match_counts_slot_seq FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION count_matches() FROM PUBLIC, authenticated, anon;
CREATE POLICY match_counts_service ON match_counts TO semblance_service USING (true) WITH CHECK (true);

-- The user who blocked a connection, and who alone may unblock it. Unknown for connections that the old app blocked.
ALTER TABLE mutual_connections
    ADD COLUMN blocked_by uuid,
    ADD CONSTRAINT mutual_connections_blocked_by_check CHECK (
        blocked_by IS NULL OR (status = 'blocked' AND blocked_by IN (profile_a_id, profile_b_id))
    );
