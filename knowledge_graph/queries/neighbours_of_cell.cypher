// The cells that a cell has a neighbour relation to, nearest site first.
// params: cell_id STRING, limit INT64 = 50
// columns: id, name, site_id, azimuth_deg, distance_m, cell_individual_offset_db, administrative_state, serving_count
// ordered: yes
MATCH (c:Cell {id: $cell_id})-[r:NEIGHBOUR_OF]->(n:Cell)
MATCH (s:Site)-[:HAS_CELL]->(n)
WHERE n.id <> c.id
RETURN DISTINCT n.id AS id, n.name AS name, s.id AS site_id, n.azimuth_deg AS azimuth_deg,
  sqrt((n.east_m - c.east_m) * (n.east_m - c.east_m) + (n.north_m - c.north_m) * (n.north_m - c.north_m)) AS distance_m,
  r.cell_individual_offset_db AS cell_individual_offset_db, n.administrativeState AS administrative_state,
  n.serving_count AS serving_count
ORDER BY distance_m, id
LIMIT $limit
