# The network figures of a scene that provides KPI itself: free-space reception, and phones counted per cell.
extends Reference

const SUBCARRIERS = 3276.0  # 273 resource blocks of 12 (TS 38.101-1 table 5.3.2-1)
const LIGHT_MPS = 299792458.0


# [serving sector of each phone or null, RSRP in dBm]: free-space loss (ITU-R P.525) between isotropic antennas.
static func receive(phones, sectors):
	var at = []
	var gain_db = []
	for sector in sectors:
		at.append(sector.translation)
		gain_db.append(
			10.0 * _log10(max(sector.tx_power_mw, 1e-9) / SUBCARRIERS)
			- 20.0 * _log10(4.0 * PI * sector.carrier_hz / LIGHT_MPS)
		)
	var serving = []
	var rsrp_dbm = PoolRealArray()
	for index in phones:
		var place = phones[index].translation
		var best = null
		var most_dbm = NAN
		for i in range(at.size()):
			if sectors[i].locked:
				continue
			var dbm = gain_db[i] - 20.0 * _log10(max(place.distance_to(at[i]), 1.0))
			if best == null or dbm > most_dbm:
				best = sectors[i]
				most_dbm = dbm
		serving.append(best)
		rsrp_dbm.append(most_dbm)
	return [serving, rsrp_dbm]


# RRC.ConnMean of every cell: [values in the order of `sectors`].
static func connected(serving, sectors):
	var count = {}
	for sector in serving:
		count[sector] = count.get(sector, 0) + 1
	var values = PoolRealArray()
	for sector in sectors:
		values.append(count.get(sector, 0))
	return values


static func _log10(value):
	return log(value) / 2.302585092994046
