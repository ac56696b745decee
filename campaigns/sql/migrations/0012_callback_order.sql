-- A lead that was promised a call goes first while the promise stands, and back where it was after.
ALTER TABLE callback ADD COLUMN priority_before integer;
