// The cells that can be reached from a cell over at most max_hops neighbour relations (three at most).
// params: cell_id STRING, max_hops INT64 = 2, limit INT64 = 200
// columns: id, name, hops
// ordered: yes
MATCH p = (c:Cell {id: $cell_id})-[:NEIGHBOUR_OF*1..3]->(n:Cell)
WHERE n.id <> c.id AND length(p) <= $max_hops
RETURN n.id AS id, n.name AS name, min(length(p)) AS hops
ORDER BY hops, id
LIMIT $limit
