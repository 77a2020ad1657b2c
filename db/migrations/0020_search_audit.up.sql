-- Who searched among users' faces, with which filters, and how many they found; never the photo or its embedding. There
-- are no references, so that a record outlives the account and the key.
CREATE TABLE face_searches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    profile_id uuid,
    api_key_id uuid,
    school text,
    gender text CHECK (gender IN ('male', 'female', 'other')),
    max_results integer NOT NULL CHECK (max_results > 0),
    results integer NOT NULL CHECK (results >= 0),
    request_id text NOT NULL,
    CONSTRAINT face_searches_who_check CHECK (num_nonnulls(profile_id, api_key_id) = 1)
);
CREATE INDEX idx_face_searches_created_at ON face_searches (created_at DESC);

-- The application adds records with the current time, changes none, and removes none of the last 30 days.
ALTER TABLE face_searches ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON face_searches FROM authenticated, anon;
GRANT
    SELECT (created_at),
    INSERT (profile_id, api_key_id, school, gender, max_results, results, request_id),
    DELETE
    ON face_searches TO semblance_service;
CREATE POLICY face_searches_service_read ON face_searches FOR SELECT TO semblance_service USING (true);
CREATE POLICY face_searches_service_insert ON face_searches FOR INSERT TO semblance_service WITH CHECK (true);
CREATE POLICY face_searches_service_delete ON face_searches FOR DELETE TO semblance_service
    USING (created_at < now() - interval '30 days');

-- Admins read them.
GRANT SELECT ON face_searches TO authenticated;
CREATE POLICY face_searches_admin_read ON face_searches FOR SELECT TO authenticated
    USING ((SELECT is_admin()));

ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['compute', 'search']
    );
