-- Keys for searches alone are deleted; they must not open anything else.
DELETE FROM api_keys WHERE scopes = ARRAY['search'];
UPDATE api_keys SET scopes = array_remove(scopes, 'search');
ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['compute']);
DROP TABLE face_searches;
