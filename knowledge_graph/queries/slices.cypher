// The network slices with the UEs subscribed to each.
// params: limit INT64 = 50
// columns: id, name, sst, ue_count
// ordered: yes
MATCH (s:Slice)
RETURN s.id AS id, s.name AS name, s.sST AS sst, s.ue_count AS ue_count
ORDER BY id
LIMIT $limit
