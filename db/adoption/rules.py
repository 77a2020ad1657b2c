"""How the old app's values translate to the new schema: knowledge that no catalog has.

Expressions are SQL over `{value}`, the value that a constraint of the new schema refuses. A value that no
rule knows becomes null if the column allows it. All changed values are kept in
`semblance_adoption.kept_values`.
"""

from __future__ import annotations

import hashlib
from typing import Final

UNKNOWN_PACK: Final = hashlib.sha256(b"embeddings of the old app").hexdigest()
"""Digest for embeddings whose model pack nobody has named. No pack has it, so they are compared only with
each other."""

_LOWER = "lower(btrim({value}))"
_GENDER = (
    f"WHEN {_LOWER} IN ('m', 'man', 'boy', 'male') THEN 'male'"
    f" WHEN {_LOWER} IN ('f', 'w', 'woman', 'girl', 'female') THEN 'female'"
)
_SCORE = "CASE WHEN {value} > 1 THEN greatest(0, 1 - {value}) ELSE 0 END"
_STATUS = (
    f"CASE WHEN {_LOWER} IN ('success', 'succeeded', 'completed', 'complete', 'done', 'ok') THEN 'completed'"
    f" WHEN {_LOWER} IN ('failed', 'failure', 'error', 'cancelled', 'timeout') THEN 'failed'"
)
_EXPRESSION = (
    f"CASE WHEN {_LOWER} IN ('happy', 'neutral', 'sad', 'angry', 'surprise', 'fear', 'disgust') THEN {_LOWER}"
    f" WHEN {_LOWER} = 'surprised' THEN 'surprise' WHEN {_LOWER} = 'happiness' THEN 'happy'"
    f" WHEN {_LOWER} = 'sadness' THEN 'sad' WHEN {_LOWER} = 'anger' THEN 'angry' END"
)

SPELLINGS: Final = {
    ("profiles", "gender"): f"CASE {_GENDER} ELSE 'other' END",
    ("profiles", "profile_type"): f"CASE WHEN {_LOWER} LIKE 'celeb%' THEN 'celebrity' ELSE 'user' END",
    ("profiles", "role"): f"CASE WHEN {_LOWER} = 'admin' THEN 'admin' ELSE 'user' END",
    ("faces", "gender"): f"CASE {_GENDER} END",
    ("celebrities", "gender"): f"CASE {_GENDER} END",
    ("faces", "expression"): _EXPRESSION,
    ("celebrities", "expression"): _EXPRESSION,
    # Until November 2025 the old app stored distances, 0 to 2; a score above 1 is one of those.
    ("matches", "similarity_score"): _SCORE,
    ("celebrity_matches", "similarity_score"): _SCORE,
    ("reactions", "reaction_type"): (
        f"CASE WHEN {_LOWER} IN ('like', 'liked', 'love', 'heart', 'favorite', 'favourite') THEN 'like'"
        f" WHEN {_LOWER} IN ('view', 'viewed', 'seen') THEN 'viewed' ELSE {{value}} END"
    ),
    (
        "messages",
        "message_type",
    ): f"CASE WHEN {_LOWER} IN ('image', 'icebreaker') THEN {_LOWER} ELSE 'text' END",
    ("match_jobs", "status"): f"{_STATUS} WHEN {_LOWER} = 'running' THEN 'processing' ELSE 'pending' END",
    ("match_jobs", "job_type"): "'both'",
    ("generation_logs", "status"): f"{_STATUS} ELSE 'processing' END",
}
"""By table and column."""

DEFAULTS: Final = {
    ("generation_logs", "provider"): "'unknown'",
    ("generation_logs", "model"): "'unknown'",
    ("generation_logs", "status"): "'completed'",
}
"""Values for columns that are NOT NULL without a default, and that the old app leaves out."""

OTHER_NAMES: Final = {
    ("generation_logs", "profile_id"): (
        "user_id",
        "(SELECT id FROM public.profiles WHERE id::text = {value}::text)",
    ),
    ("generation_logs", "error_message"): ("error", "{value}"),
    ("generation_logs", "duration_ms"): ("latency_ms", "{value}::integer"),
}
"""Columns that have another name in the other documented form, and how to convert them."""

DUTIES: Final = {"faces": "match_jobs", "auth.users": "profiles"}
"""Tables with a trigger that adds a row to another table for each new row: two such triggers would add
two."""

OLD_TABLES: Final = ("jobs", "inference_jobs", "embeddings")
"""Documented tables that nothing here uses."""

OLD_FUNCTIONS: Final = (
    *("find_similar_faces", "find_similar_faces_filtered", "find_celebrity_matches"),
    *("find_similar_celebrities", "find_top_celebrity_matches", "calculate_advanced_similarity"),
    *("cleanup_old_match_jobs", "cleanup_match_jobs", "claim_match_job", "get_next_match_job"),
)
"""Functions that the documents name, and usual names for those that they describe."""
