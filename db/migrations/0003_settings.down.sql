DELETE FROM system_settings
WHERE key IN (
    'matching_weights', 'match_threshold', 'allow_non_edu_emails',
    'daily_photo_upload_limit', 'daily_baby_generation_limit'
);
