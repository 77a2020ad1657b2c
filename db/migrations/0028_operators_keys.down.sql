DROP POLICY api_keys_service_changes ON api_keys;
DROP POLICY api_keys_service_adds ON api_keys;
DROP POLICY api_keys_service_reads ON api_keys;
CREATE POLICY api_keys_service ON api_keys TO semblance_service USING (true) WITH CHECK (true);
REVOKE INSERT (name, prefix, hash, scopes), UPDATE (revoked_at) ON api_keys FROM semblance_service;
