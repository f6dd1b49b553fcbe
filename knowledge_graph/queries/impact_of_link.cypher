// The cells whose way to the core uses a link.
// params: link_id STRING, limit INT64 = 200
// columns: id, name, site_id, serving_count
// ordered: yes
MATCH (l:TransportLink {id: $link_id})<-[e:END_OF]-(m:Site|TransportNode)
WHERE e.side = 'a'
MATCH (s:Site)-[:BACKHAUL*0..7]->(m)
MATCH (s)-[:HAS_CELL]->(c:Cell)
RETURN DISTINCT c.id AS id, c.name AS name, s.id AS site_id, c.serving_count AS serving_count
ORDER BY id
LIMIT $limit
