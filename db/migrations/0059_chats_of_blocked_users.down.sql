ALTER POLICY mutual_connections_service ON mutual_connections USING (true);
