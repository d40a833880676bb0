BEGIN;

ALTER TABLE leads ADD COLUMN external_id text CONSTRAINT leads_external_id_check CHECK (external_id <> '');

COMMENT ON COLUMN leads.external_id IS 'What the system that the lead came from calls it, null when unknown; no other lead of the source has it.';

-- Not CONCURRENTLY: the column is all null, so the index is empty and made at
-- once, and migrators that wait for each other would wait for ever with it.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX leads_external_id_key ON leads (source, external_id) WHERE external_id IS NOT NULL;

GRANT INSERT (external_id) ON leads TO marketing_app;

COMMIT;
