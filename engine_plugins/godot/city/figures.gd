# The network figures of a scene that provides KPI itself: free-space reception, and phones counted per cell.
extends Reference

const SUBCARRIERS = 3276.0  # 273 resource blocks of 12 (TS 38.101-1 table 5.3.2-1)
const LIGHT_MPS = 299792458.0


# [serving sector of each phone or null, RSRP in dBm]: free-space loss (ITU-R P.525) between isotropic antennas.
static func receive(phones, sectors):
	var at = []
	var gain_mw = PoolRealArray()  # at a distance of one metre
	for sector in sectors:
		at.append(sector.translation)
		var loss = pow(4.0 * PI * sector.carrier_hz / LIGHT_MPS, 2.0)
		gain_mw.append(0.0 if sector.locked else sector.tx_power_mw / SUBCARRIERS / loss)
	var serving = []
	var rsrp_dbm = PoolRealArray()
	for index in phones:
		var place = phones[index].translation
		var best = null
		var most_mw = 0.0
		for i in range(at.size()):
			var mw = gain_mw[i] / max(place.distance_squared_to(at[i]), 1.0)
			if mw > most_mw:
				best = sectors[i]
				most_mw = mw
		serving.append(best)
		rsrp_dbm.append(10.0 * _log10(most_mw) if best != null else NAN)
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
