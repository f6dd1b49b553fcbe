// The transport links that end at a site or transport node, with the other end.
// params: site_id STRING, limit INT64 = 50
// columns: id, name, side, other_id, capacity_bps, load_percent
// ordered: yes
MATCH (s:Site|TransportNode {id: $site_id})-[e:END_OF]->(l:TransportLink)
MATCH (o:Site|TransportNode)-[:END_OF]->(l)
WHERE o.id <> s.id
RETURN DISTINCT l.id AS id, l.name AS name, e.side AS side, o.id AS other_id, l.capacity_bps AS capacity_bps,
  l.vsData6gLinkLoad AS load_percent
ORDER BY id
LIMIT $limit
