-- What the linter must find; make lint/migrations fails when it does not.
BEGIN;
ALTER TABLE customers ADD COLUMN nickname text NOT NULL;
CREATE INDEX customers_phone_idx ON customers (phone);
ALTER TABLE customers ALTER COLUMN phone TYPE varchar(20);
COMMIT;
