-- Decisions that start nothing for the same reason as the one before, twice a second and more, ride
-- packed on the next stored row: every decision can be looked up, and a quiet day stays small.
ALTER TABLE decision ADD COLUMN quiet bytea;
