-- A recycled lead begins anew: only attempts from then on count against its limit.
ALTER TABLE lead ADD COLUMN recycled_at timestamptz;
