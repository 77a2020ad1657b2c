REVOKE UPDATE (name, bio, category, gender, person_id), DELETE ON celebrities FROM semblance_service;
REVOKE UPDATE (name, bio, category, gender), DELETE ON people FROM semblance_service;
DROP TABLE gallery_deleted_rows;
DROP TABLE gallery_deletions;
DROP INDEX idx_people_folded_name;
ALTER TABLE people DROP COLUMN folded_name;
