-- What the queries depend on: equal before and after means that nothing changed between.
SELECT
  (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM sales.customers t),
  (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM marketing.leads t),
  (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM sales.mesh_meta t)
