// The cells that serve the most UEs at the last refresh; cells without a figure are left out.
// params: limit INT64 = 20
// columns: id, name, serving_count
// ordered: yes
MATCH (c:Cell)
WHERE c.serving_count IS NOT NULL
RETURN c.id AS id, c.name AS name, c.serving_count AS serving_count
ORDER BY serving_count DESC, id
LIMIT $limit
