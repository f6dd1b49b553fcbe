# Figures as colours: red is bad, green is good, in twelve steps so that materials are shared.
extends Reference

const NEUTRAL = Color("2f6fd0")
const STEPS = 12
# KPI -> [worst, best] of the ramp.
const RANGES = {
	"RF.serving.RSRP": [-120.0, -70.0],
	"RF.serving.RSSINR": [-5.0, 25.0],
	"DRB.UEThpDl": [0.0, 100000.0],
	"RRU.PrbTotDl": [100.0, 0.0],
	"vsData6gMeanSsRsrp": [-120.0, -70.0],
}


# Null where the figure is missing or has no ramp.
static func of(kpi, value):
	if not RANGES.has(kpi) or is_nan(value):
		return null
	var share = clamp(inverse_lerp(RANGES[kpi][0], RANGES[kpi][1], value), 0.0, 1.0)
	return ramp(round(share * (STEPS - 1)) / (STEPS - 1))


static func ramp(share):
	return Color.from_hsv(0.33 * share, 0.85, 0.9)
