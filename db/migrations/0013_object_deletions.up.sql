-- Pictures whose row was deleted, and that must still be removed from the storage. Written by the transaction that
-- deletes the row or changes its picture, deleted once the storage has removed the files. The API does not serve
-- pictures listed here.
CREATE TABLE object_deletions (
    key text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_object_deletions_due_at ON object_deletions (due_at);

-- Whether a row names the picture. Rows of the old app may share one.
CREATE FUNCTION is_named_picture(key text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = ''
    AS $$
        SELECT EXISTS (SELECT FROM public.faces WHERE image_path = key)
            OR EXISTS (SELECT FROM public.celebrities WHERE image_path = key)
            OR EXISTS (SELECT FROM public.babies WHERE image_url = key)
    $$;

-- The argument names the column. Rows of the old app may have an address of another host, which is not ours to remove.
-- A picture that another row still names stays.
CREATE FUNCTION record_object_deletion() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
DECLARE
    gone text;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO gone USING OLD;
    IF gone NOT LIKE 'http%' AND NOT public.is_named_picture(gone) THEN
        INSERT INTO public.object_deletions (key) VALUES (gone) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER faces_picture_deleted AFTER DELETE ON faces
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER faces_picture_replaced AFTER UPDATE OF image_path ON faces
    FOR EACH ROW WHEN (OLD.image_path <> NEW.image_path)
    EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER celebrities_picture_deleted AFTER DELETE ON celebrities
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER celebrities_picture_replaced AFTER UPDATE OF image_path ON celebrities
    FOR EACH ROW WHEN (OLD.image_path <> NEW.image_path)
    EXECUTE FUNCTION record_object_deletion('image_path');
CREATE TRIGGER babies_picture_deleted AFTER DELETE ON babies
    FOR EACH ROW EXECUTE FUNCTION record_object_deletion('image_url');
CREATE TRIGGER babies_picture_replaced AFTER UPDATE OF image_url ON babies
    FOR EACH ROW WHEN (OLD.image_url <> NEW.image_url)
    EXECUTE FUNCTION record_object_deletion('image_url');

-- A celebrity's key is derived from the picture, so a celebrity who is added again gets the key of the deleted one.
CREATE INDEX idx_celebrities_image_path ON celebrities (image_path);

-- Hashed, because rows of the old app may hold anything.
CREATE INDEX idx_faces_image_path ON faces USING hash (image_path);
CREATE INDEX idx_babies_image_url ON babies USING hash (image_url);

-- Pictures that were sent in chats, by key.
CREATE INDEX idx_messages_image ON messages USING hash (content) WHERE message_type = 'image';

ALTER TABLE object_deletions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON object_deletions FROM authenticated, anon;
REVOKE EXECUTE ON FUNCTION record_object_deletion(), is_named_picture(text) FROM PUBLIC, authenticated, anon;
GRANT EXECUTE ON FUNCTION is_named_picture(text) TO semblance_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON object_deletions TO semblance_service;
CREATE POLICY object_deletions_service ON object_deletions TO semblance_service USING (true) WITH CHECK (true);
