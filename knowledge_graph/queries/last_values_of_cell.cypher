// The last value and rolling mean of the main figures of a cell.
// params: cell_id STRING
// columns: id, figures_at_ms, serving_count, throughput_kbps, throughput_mean_kbps, prb_load_percent, prb_load_mean_percent, connections, connections_mean, sinr_db, sinr_mean_db
// ordered: no
MATCH (c:Cell {id: $cell_id})
RETURN c.id AS id, c.figures_at_ms AS figures_at_ms, c.serving_count AS serving_count,
  c.DRB_UEThpDl AS throughput_kbps, c.DRB_UEThpDl_mean AS throughput_mean_kbps,
  c.RRU_PrbTotDl AS prb_load_percent, c.RRU_PrbTotDl_mean AS prb_load_mean_percent,
  c.RRC_ConnMean AS connections, c.RRC_ConnMean_mean AS connections_mean,
  c.vsData6gMeanSsSinr AS sinr_db, c.vsData6gMeanSsSinr_mean AS sinr_mean_db
LIMIT 1
