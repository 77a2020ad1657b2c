-- The application sees no chat of a user whom operators have blocked, as it sees neither the profile nor its matches. LIMIT
-- keeps the planner from reading all profiles at once.
ALTER POLICY mutual_connections_service ON mutual_connections USING (
    (SELECT true FROM profiles WHERE profiles.id = profile_a_id LIMIT 1)
    AND (SELECT true FROM profiles WHERE profiles.id = profile_b_id LIMIT 1)
);
