// The cells exactly two neighbour relations away: neighbours of neighbours that are no neighbours themselves.
// params: cell_id STRING, limit INT64 = 200
// columns: id, name
// ordered: yes
MATCH (c:Cell {id: $cell_id})-[:NEIGHBOUR_OF]->(m:Cell)-[:NEIGHBOUR_OF]->(n:Cell)
WHERE n.id <> c.id AND NOT EXISTS { MATCH (c)-[:NEIGHBOUR_OF]->(n) }
RETURN DISTINCT n.id AS id, n.name AS name
ORDER BY id
LIMIT $limit
