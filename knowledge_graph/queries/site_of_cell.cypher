// The site that carries a cell.
// params: cell_id STRING
// columns: id, name, east_m, north_m, height_m
// ordered: no
MATCH (s:Site)-[:HAS_CELL]->(c:Cell {id: $cell_id})
RETURN DISTINCT s.id AS id, s.name AS name, s.east_m AS east_m, s.north_m AS north_m, s.height_m AS height_m
LIMIT 1
