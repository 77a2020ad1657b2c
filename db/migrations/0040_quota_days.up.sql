CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_user_daily_quotas_day ON public.user_daily_quotas (day);
