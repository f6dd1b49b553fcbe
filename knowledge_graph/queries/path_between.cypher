// The transport hops between two cells, sites or nodes over the nearest place where their ways to the core meet.
// Rows of side a climb from the first entity, rows of side b from the second; none when they share a site.
// params: a_id STRING, b_id STRING
// columns: side, hop, from_id, link_id, to_id, meet_id
// ordered: no
MATCH (a:Site|TransportNode)
WHERE a.id = $a_id OR EXISTS { MATCH (a)-[:HAS_CELL]->(ca:Cell {id: $a_id}) }
MATCH (b:Site|TransportNode)
WHERE b.id = $b_id OR EXISTS { MATCH (b)-[:HAS_CELL]->(cb:Cell {id: $b_id}) }
MATCH pa = (a)-[:BACKHAUL*0..8]->(m:Site|TransportNode)
MATCH pb = (b)-[:BACKHAUL*0..8]->(m)
WITH a, b, m, min(length(pa)) AS up, min(length(pb)) AS down
ORDER BY up + down, m.id
LIMIT 1
MATCH pc = (a)-[:BACKHAUL*0..7]->(x:Site|TransportNode)
MATCH (x)-[r:BACKHAUL]->(y:Site|TransportNode)
MATCH pd = (y)-[:BACKHAUL*0..7]->(m)
WHERE length(pc) + 1 + length(pd) = up
RETURN DISTINCT 'a' AS side, length(pc) + 1 AS hop, x.id AS from_id, r.link_id AS link_id, y.id AS to_id, m.id AS meet_id
LIMIT 50
UNION
MATCH (a:Site|TransportNode)
WHERE a.id = $a_id OR EXISTS { MATCH (a)-[:HAS_CELL]->(ca:Cell {id: $a_id}) }
MATCH (b:Site|TransportNode)
WHERE b.id = $b_id OR EXISTS { MATCH (b)-[:HAS_CELL]->(cb:Cell {id: $b_id}) }
MATCH pa = (a)-[:BACKHAUL*0..8]->(m:Site|TransportNode)
MATCH pb = (b)-[:BACKHAUL*0..8]->(m)
WITH a, b, m, min(length(pa)) AS up, min(length(pb)) AS down
ORDER BY up + down, m.id
LIMIT 1
MATCH pc = (b)-[:BACKHAUL*0..7]->(x:Site|TransportNode)
MATCH (x)-[r:BACKHAUL]->(y:Site|TransportNode)
MATCH pd = (y)-[:BACKHAUL*0..7]->(m)
WHERE length(pc) + 1 + length(pd) = down
RETURN DISTINCT 'b' AS side, length(pc) + 1 AS hop, x.id AS from_id, r.link_id AS link_id, y.id AS to_id, m.id AS meet_id
LIMIT 50
