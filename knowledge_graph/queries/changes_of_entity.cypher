// The changes that touch an entity, newest proposal first, one row per attribute.
// params: entity_id STRING, limit INT64 = 50
// columns: id, state, attribute, sentence, reason, proposed_by, proposed_at_ms, applied_at_ms, finished_at_ms
// ordered: yes
MATCH (c:Change)-[t:TOUCHES]->(e:Site|Cell|Slice|TransportNode|TransportLink {id: $entity_id})
RETURN DISTINCT c.id AS id, c.state AS state, t.attribute AS attribute, t.sentence AS sentence, c.reason AS reason,
  c.proposed_by AS proposed_by, c.proposed_at_ms AS proposed_at_ms, c.valid_from_ms AS applied_at_ms,
  c.finished_at_ms AS finished_at_ms
ORDER BY proposed_at_ms DESC, id, attribute
LIMIT $limit
