// How many nodes of each kind the graph holds; kinds without any are left out.
// params: none
// columns: kind, count
// ordered: yes
MATCH (n:Site|Cell|Slice|TransportNode|TransportLink|Place|Building|Alarm|Change)
RETURN n.kind AS kind, count(*) AS count
ORDER BY kind
LIMIT 20
