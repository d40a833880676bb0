BEGIN;

DROP TABLE lead_dead_letters;
DROP TABLE lead_imports;

COMMIT;
