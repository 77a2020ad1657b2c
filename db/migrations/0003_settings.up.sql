-- Settings an admin can change, with their defaults; values that are already set stay.
INSERT INTO system_settings (key, value, description) VALUES
    (
        'matching_weights',
        '{"embedding": 0.20, "geometry": 0.20, "age": 0.15,
          "symmetry": 0.15, "skin_tone": 0.15, "expression": 0.15}',
        'Weights of the six factors of a match, each 0..1, together 1.'
    ),
    ('match_threshold', '0.5', 'Least score of a match that is kept, 0..1.'),
    ('allow_non_edu_emails', 'false', 'Whether addresses outside .edu may sign up.'),
    ('daily_photo_upload_limit', '20', 'Photos a user may upload a day; -1 unlimited, 0 none.'),
    ('daily_baby_generation_limit', '10', 'Baby pictures a user may have made a day; -1 unlimited, 0 none.')
ON CONFLICT (key) DO NOTHING;
