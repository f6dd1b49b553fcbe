# Civil moments.
extends Reference


# Seconds since 1970 of an RFC 3339 moment such as `2026-11-07T12:00:00.25+01:00`; null when it is none.
static func unix_s_of(moment):
	var pattern = RegEx.new()
	pattern.compile(
		"^(\\d{4})-(\\d\\d)-(\\d\\d)[Tt ](\\d\\d):(\\d\\d):(\\d\\d(?:\\.\\d+)?)"
		+ "(?:[Zz]|([+-])(\\d\\d):(\\d\\d))$"
	)
	var found = pattern.search(moment)
	if found == null:
		return null
	var date = {
		"year": int(found.get_string(1)), "month": int(found.get_string(2)), "day": int(found.get_string(3)),
		"hour": int(found.get_string(4)), "minute": int(found.get_string(5)), "second": 0,
	}
	var ahead_s = 60 * (60 * int(found.get_string(8)) + int(found.get_string(9)))
	var utc_s = OS.get_unix_time_from_datetime(date) + float(found.get_string(6))
	return utc_s + ahead_s if found.get_string(7) == "-" else utc_s - ahead_s
