-- name: tune_nearest
-- Settings of a vector search, for this transaction. $1: ef_search, as text. A search whose filter rejects
-- rows of the index continues until it has enough, and each search is planned for its filters.
SELECT
    set_config('hnsw.ef_search', $1, true),
    set_config('hnsw.iterative_scan', 'strict_order', true),
    set_config('plan_cache_mode', 'force_custom_plan', true);
