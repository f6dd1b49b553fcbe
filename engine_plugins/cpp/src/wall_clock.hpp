// This machine's clock as the wire carries it, and civil moments.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

namespace twin6g {

// Nanoseconds since 1970.
inline std::uint64_t wall_clock_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

// Seconds since 1970 of an RFC 3339 moment such as `2026-11-07T12:00:00.25+01:00`; NaN when it is none.
inline double unix_s_of(const std::string& moment) {
  std::tm date{};
  double second = 0;
  int length = 0;
  if (std::sscanf(moment.c_str(), "%d-%d-%d%*1[Tt ]%d:%d:%lf%n", &date.tm_year, &date.tm_mon, &date.tm_mday,
                  &date.tm_hour, &date.tm_min, &second, &length) != 6) {
    return std::nan("");
  }
  date.tm_year -= 1900;
  date.tm_mon -= 1;
  const std::string zone = moment.substr(static_cast<std::size_t>(length));
  int hours = 0;
  int minutes = 0;
  const bool is_utc = zone == "Z" || zone == "z";
  if (!is_utc && std::sscanf(zone.c_str(), "%*1[+-]%2d:%2d", &hours, &minutes) != 2) return std::nan("");
  const int ahead_s = (zone[0] == '-' ? -1 : 1) * 60 * (60 * hours + minutes);
  return static_cast<double>(timegm(&date)) + second - ahead_s;
}

}  // namespace twin6g
