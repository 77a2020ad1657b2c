DROP INDEX CONCURRENTLY IF EXISTS public.idx_user_daily_quotas_day;
