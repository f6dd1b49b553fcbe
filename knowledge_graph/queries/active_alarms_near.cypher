// The active alarms around a cell or site: on itself, its site, its sibling cells, its neighbour cells, its way to
// the core. The column place says where; one alarm may stand at two places.
// params: entity_id STRING
// columns: place, id, entity_id, perceived_severity, probable_cause, specific_problem, raised_at_ms
// ordered: no
MATCH (t:Site|Cell {id: $entity_id})
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL
RETURN DISTINCT 'self' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
UNION
MATCH (c:Cell {id: $entity_id})<-[:HAS_CELL]-(t:Site)
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL
RETURN DISTINCT 'site' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
UNION
MATCH (e:Site|Cell {id: $entity_id})<-[:HAS_CELL*0..1]-(s:Site)
MATCH (s)-[:HAS_CELL]->(t:Cell)
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL AND t.id <> e.id
RETURN DISTINCT 'sibling' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
UNION
MATCH (e:Site|Cell {id: $entity_id})<-[:HAS_CELL*0..1]-(s:Site)
MATCH (s)-[:HAS_CELL]->(c:Cell)-[:NEIGHBOUR_OF]->(t:Cell)<-[:HAS_CELL]-(o:Site)
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL AND o.id <> s.id AND (c.id = e.id OR s.id = e.id)
RETURN DISTINCT 'neighbour' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
UNION
MATCH (e:Site|Cell {id: $entity_id})<-[:HAS_CELL*0..1]-(s:Site)
MATCH (s)-[:BACKHAUL*1..8]->(t:Site|TransportNode)
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL
RETURN DISTINCT 'transport' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
UNION
MATCH (e:Site|Cell {id: $entity_id})<-[:HAS_CELL*0..1]-(s:Site)
MATCH (s)-[:BACKHAUL*0..7]->(m:Site|TransportNode)-[f:END_OF]->(t:TransportLink)
MATCH (a:Alarm)-[:RAISED_ON]->(t)
WHERE a.valid_to_ms IS NULL AND f.side = 'a'
RETURN DISTINCT 'transport' AS place, a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms
LIMIT 100
