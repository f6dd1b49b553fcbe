// This machine's clock as the wire carries it.
#pragma once

#include <chrono>
#include <cstdint>

namespace twin6g {

// Nanoseconds since 1970.
inline std::uint64_t wall_clock_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

}  // namespace twin6g
