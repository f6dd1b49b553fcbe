// The alarms raised on one entity, newest first, cleared ones too (cleared_at_ms is empty while active).
// params: entity_id STRING, limit INT64 = 50
// columns: id, entity_id, perceived_severity, probable_cause, specific_problem, raised_at_ms, cleared_at_ms
// ordered: yes
MATCH (a:Alarm)-[:RAISED_ON]->(e:Site|Cell|Slice|TransportNode|TransportLink {id: $entity_id})
RETURN DISTINCT a.id AS id, a.entity_id AS entity_id, a.perceived_severity AS perceived_severity,
  a.probable_cause AS probable_cause, a.specific_problem AS specific_problem,
  a.valid_from_ms AS raised_at_ms, a.valid_to_ms AS cleared_at_ms
ORDER BY raised_at_ms DESC, id
LIMIT $limit
