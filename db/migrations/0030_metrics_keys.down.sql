-- Keys for metrics alone are deleted; they must not open anything else.
DELETE FROM api_keys WHERE scopes = ARRAY['metrics'];
UPDATE api_keys SET scopes = array_remove(scopes, 'metrics');
ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['compute', 'search']
    );
