// The buildings within radius_m of a point (ENU metres), nearest first; a building counts by the middle of its footprint.
// params: east_m DOUBLE, north_m DOUBLE, radius_m DOUBLE = 500, limit INT64 = 20
// columns: id, name, distance_m, east_m, north_m, height_m, land_use
// ordered: yes
MATCH (n:Building)
WHERE n.east_m >= $east_m - $radius_m AND n.east_m <= $east_m + $radius_m
  AND n.north_m >= $north_m - $radius_m AND n.north_m <= $north_m + $radius_m
WITH n, sqrt((n.east_m - $east_m) * (n.east_m - $east_m) + (n.north_m - $north_m) * (n.north_m - $north_m)) AS distance_m
WHERE distance_m <= $radius_m
RETURN n.id AS id, n.name AS name, distance_m, n.east_m AS east_m, n.north_m AS north_m, n.height_m AS height_m, n.land_use AS land_use
ORDER BY distance_m, id
LIMIT $limit
