-- name: add_audit_record
INSERT INTO audit_log (actor, action, target, before, after) VALUES ($1, $2, $3, $4, $5);

-- name: list_audit_records
-- $1 and $2: time and id of the last one seen, $3: action or its noun, $4: actor or its kind, $5: since when, $6: limit.
SELECT id, at, actor, action, target, before, after
FROM audit_log
WHERE ($1::timestamptz IS NULL OR (at, id) < ($1, $2::uuid))
    AND ($3::text IS NULL OR action = $3 OR split_part(action, '.', 1) = $3)
    AND ($4::text IS NULL OR actor = $4 OR split_part(actor, ':', 1) = $4)
    AND ($5::timestamptz IS NULL OR at >= $5)
ORDER BY at DESC, id DESC
LIMIT $6;
