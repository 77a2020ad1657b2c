DROP FUNCTION schema_revision();
