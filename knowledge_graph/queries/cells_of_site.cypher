// The cells of a site by sector.
// params: site_id STRING, limit INT64 = 50
// columns: id, name, sector, azimuth_deg, tilt_decideg, tx_power_mw, administrative_state, serving_count
// ordered: yes
MATCH (s:Site {id: $site_id})-[:HAS_CELL]->(c:Cell)
RETURN DISTINCT c.id AS id, c.name AS name, c.sector AS sector, c.azimuth_deg AS azimuth_deg,
  c.digitalTilt AS tilt_decideg, c.configuredMaxTxPower AS tx_power_mw,
  c.administrativeState AS administrative_state, c.serving_count AS serving_count
ORDER BY sector, id
LIMIT $limit
