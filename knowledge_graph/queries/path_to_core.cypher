// The transport hops from a cell or site towards the core, up to eight links; over several ways all of them.
// params: entity_id STRING, limit INT64 = 50
// columns: hop, from_id, link_id, to_id, to_role, capacity_bps
// ordered: yes
MATCH (e:Site|Cell {id: $entity_id})<-[:HAS_CELL*0..1]-(s:Site)
MATCH p = (s)-[:BACKHAUL*0..7]->(m:Site|TransportNode)
MATCH (m)-[r:BACKHAUL]->(n:Site|TransportNode)
RETURN min(length(p)) + 1 AS hop, m.id AS from_id, r.link_id AS link_id, n.id AS to_id, n.role AS to_role,
  r.capacity_bps AS capacity_bps
ORDER BY hop, link_id
LIMIT $limit
