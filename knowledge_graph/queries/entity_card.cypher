// What the inventory says of one entity; columns that its kind lacks are empty.
// params: entity_id STRING
// columns: id, kind, name, dn, aliases, east_m, north_m, up_m, height_m, azimuth_deg, sector, carrier_hz, bandwidth_hz, tilt_decideg, tx_power_mw, administrative_state, serving_count, role, capacity_bps, category, land_use, sst, ue_count
// ordered: no
MATCH (e:Site|Cell|Slice|TransportNode|TransportLink|Place|Building {id: $entity_id})
RETURN e.id AS id, e.kind AS kind, e.name AS name, e.dn AS dn, e.aliases AS aliases, e.east_m AS east_m,
  e.north_m AS north_m, e.up_m AS up_m, e.height_m AS height_m, e.azimuth_deg AS azimuth_deg, e.sector AS sector,
  e.carrier_hz AS carrier_hz, e.bandwidth_hz AS bandwidth_hz, e.digitalTilt AS tilt_decideg,
  e.configuredMaxTxPower AS tx_power_mw, e.administrativeState AS administrative_state,
  e.serving_count AS serving_count, e.role AS role, e.capacity_bps AS capacity_bps, e.category AS category,
  e.land_use AS land_use, e.sST AS sst, e.ue_count AS ue_count
LIMIT 1
