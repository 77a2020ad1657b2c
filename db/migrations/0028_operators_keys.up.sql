-- Operators make and revoke API keys in the console. A revoked key stays revoked, and no key gets another hash.
GRANT INSERT (name, prefix, hash, scopes), UPDATE (revoked_at) ON api_keys TO semblance_service;
DROP POLICY api_keys_service ON api_keys;
CREATE POLICY api_keys_service_reads ON api_keys FOR SELECT TO semblance_service USING (true);
CREATE POLICY api_keys_service_adds ON api_keys FOR INSERT TO semblance_service WITH CHECK (true);
CREATE POLICY api_keys_service_changes ON api_keys FOR UPDATE TO semblance_service
    USING (revoked_at IS NULL) WITH CHECK (true);
