-- psql -X -v ON_ERROR_STOP=1 -v term=7 -v text='a step' -f write.sql
BEGIN;
SELECT check_term('jobs', :term);
INSERT INTO jobs (term, text) VALUES (:term, :'text');
COMMIT;
