// The part of the codec that is the same for every message: reading and writing of protobuf's wire format.
//
// C++17, header only, standard library only; compiles without exceptions and without RTTI, as Unreal does. Nothing
// throws: a reader remembers its first fault and then reads nothing more. The messages stand in bridge_v1.hpp, which
// is generated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "twin6g copies lists of numbers as they lie in memory and needs a little-endian machine."
#endif

namespace twin6g::wire {

/// What is wrong with bytes that are no message.
enum class Fault : std::uint8_t {
  None,       ///< Nothing.
  Truncated,  ///< The bytes end in the middle of a value.
  Malformed,  ///< A tag, number or length that cannot be.
  TooDeep,    ///< Messages or groups within each other, deeper than the limit.
  TooLarge,   ///< More bytes than the limit.
  BadText,    ///< Text that is no UTF-8.
};

/// Most bytes of one message, unless told otherwise.
inline constexpr std::size_t kDefaultMaxBytes = 64u * 1024u * 1024u;
/// Messages and groups may stand this deep within each other, as in Python.
inline constexpr int kMaxDepth = 100;

/// Returns whether the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
inline bool is_utf8(const std::uint8_t* text, std::size_t size) {
  std::size_t at = 0;
  while (at < size) {
    const std::uint8_t first = text[at++];
    if (first < 0x80) continue;
    int more = 0;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (at == size || text[at] < low || text[at] > high) return false;
      ++at;
      low = 0x80;
      high = 0xBF;
    }
  }
  return true;
}

/// Reads one serialized message.
class Reader {
 public:
  Reader(const void* data, std::size_t size, std::size_t max_bytes = kDefaultMaxBytes)
      : at_(static_cast<const std::uint8_t*>(data)), end_(at_ + size) {
    if (size > max_bytes) fail(Fault::TooLarge);
  }

  /// The first fault; None while everything is well.
  Fault fault() const { return fault_; }

  /// Reads the next tag; false at the end of the present message and after a fault.
  bool read_tag(std::uint32_t& tag) {
    if (at_ == end_) return false;
    tag = read_varint32();
    if (fault_ == Fault::None && tag >> 3 == 0) fail(Fault::Malformed);
    return fault_ == Fault::None;
  }

  /// Reads a varint of up to 64 bits; bits beyond are dropped, as everywhere.
  std::uint64_t read_uint64() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) return fail(Fault::Truncated);
      const std::uint8_t next = *at_++;
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if (next < 0x80) return value;
    }
    return fail(Fault::Malformed);
  }

  std::uint32_t read_uint32() { return static_cast<std::uint32_t>(read_uint64()); }
  bool read_bool() { return read_uint64() != 0; }
  std::uint32_t read_fixed32() { return read_plain<std::uint32_t>(); }
  std::uint64_t read_fixed64() { return read_plain<std::uint64_t>(); }
  float read_float() { return read_plain<float>(); }
  double read_double() { return read_plain<double>(); }

  /// Reads a member of an enumeration; numbers that it does not know travel through.
  template <class E>
  E read_enum() {
    return static_cast<E>(static_cast<std::int32_t>(static_cast<std::uint32_t>(read_uint64())));
  }

  std::string read_string() {
    const std::size_t size = read_length();
    const std::uint8_t* from = take(size);
    if (from == nullptr) return {};
    if (!is_utf8(from, size)) {
      fail(Fault::BadText);
      return {};
    }
    return std::string(reinterpret_cast<const char*>(from), size);
  }

  std::vector<std::uint8_t> read_bytes() {
    const std::size_t size = read_length();
    const std::uint8_t* from = take(size);
    if (from == nullptr) return {};
    return std::vector<std::uint8_t>(from, from + size);
  }

  /// Appends a run of four-byte numbers.
  template <class T>
  void read_run(std::vector<T>& into) {
    static_assert(sizeof(T) == 4 && std::is_trivially_copyable_v<T>);
    const std::size_t bytes = read_length();
    const std::uint8_t* from = take(bytes);
    if (from == nullptr || bytes == 0) return;
    if (bytes % 4 != 0) {
      fail(Fault::Malformed);
      return;
    }
    const std::size_t before = into.size();
    into.resize(before + bytes / 4);
    std::memcpy(into.data() + before, from, bytes);
  }

  /// Appends a run of members of an enumeration.
  template <class E>
  void read_enum_run(std::vector<E>& into) {
    const std::size_t size = read_length();
    if (!holds(size)) return;
    const std::uint8_t* outer_end = end_;
    end_ = at_ + size;
    while (at_ != end_) into.push_back(read_enum<E>());
    if (fault_ == Fault::None) end_ = outer_end;
  }

  /// Reads a message within the present one.
  template <class M>
  void read_message(M& message) {
    const std::uint8_t* outer_end = enter();
    message.merge_from(*this);
    leave(outer_end);
  }

  /// Reads one entry of a map; `read_value` reads a value, which has the tag `value_tag`.
  template <class V, class F>
  void read_entry(std::uint32_t value_tag, std::map<std::string, V>& map, F read_value) {
    std::string key;
    V value{};
    const std::uint8_t* outer_end = enter();
    std::uint32_t tag = 0;
    while (read_tag(tag)) {
      if (tag == 10) {
        key = read_string();
      } else if (tag == value_tag) {
        read_value(value);
      } else {
        skip(tag);
      }
    }
    leave(outer_end);
    map.insert_or_assign(std::move(key), std::move(value));
  }

  /// Steps over a field that the caller does not know.
  void skip(std::uint32_t tag) {
    switch (tag & 7) {
      case 0: read_uint64(); break;
      case 1: take(8); break;
      case 2: take(read_length()); break;
      case 3: skip_group(tag >> 3); break;
      case 5: take(4); break;
      default: fail(Fault::Malformed);
    }
  }

 private:
  /// Remembers the first fault and leaves nothing to read.
  std::uint32_t fail(Fault fault) {
    if (fault_ == Fault::None) fault_ = fault;
    at_ = end_;
    return 0;
  }

  bool holds(std::size_t size) {
    if (fault_ == Fault::None && size > static_cast<std::size_t>(end_ - at_)) fail(Fault::Truncated);
    return fault_ == Fault::None;
  }

  const std::uint8_t* take(std::size_t size) {
    if (!holds(size)) return nullptr;
    const std::uint8_t* from = at_;
    at_ += size;
    return from;
  }

  template <class T>
  T read_plain() {
    T value{};
    const std::uint8_t* from = take(sizeof(T));
    if (from != nullptr) std::memcpy(&value, from, sizeof(T));
    return value;
  }

  /// Tags and lengths: at most 32 bits in at most five bytes.
  std::uint32_t read_varint32() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      if (at_ == end_) return fail(Fault::Truncated);
      const std::uint8_t next = *at_++;
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if (next < 0x80) return value > UINT32_MAX ? fail(Fault::Malformed) : static_cast<std::uint32_t>(value);
    }
    return fail(Fault::Malformed);
  }

  std::size_t read_length() {
    const std::uint32_t length = read_varint32();
    return length > INT32_MAX ? fail(Fault::Malformed) : length;
  }

  bool deepen() {
    if (++depth_ > kMaxDepth) fail(Fault::TooDeep);
    return fault_ == Fault::None;
  }

  const std::uint8_t* enter() {
    const std::uint8_t* outer_end = end_;
    const std::size_t size = read_length();
    if (deepen() && holds(size)) end_ = at_ + size;
    return outer_end;
  }

  void leave(const std::uint8_t* outer_end) {
    end_ = outer_end;
    if (fault_ != Fault::None) at_ = end_;
    --depth_;
  }

  void skip_group(std::uint32_t number) {
    deepen();
    while (at_ != end_) {
      const std::uint32_t tag = read_varint32();  // Python lets field number 0 pass in here
      if (fault_ != Fault::None) return;
      if ((tag & 7) == 4) {
        if (tag >> 3 != number) fail(Fault::Malformed);
        --depth_;
        return;
      }
      skip(tag);
    }
    fail(Fault::Truncated);
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  int depth_ = 0;
  Fault fault_ = Fault::None;
};

/// Writes one message from its end to its beginning, so that every length is known when it is written. Keep one per
/// thread and clear it between messages: then nothing is allocated.
class Writer {
 public:
  /// The bytes written, valid until the next write.
  const std::uint8_t* data() const { return buffer_.data() + start_; }
  std::size_t size() const { return buffer_.size() - start_; }
  std::string str() const { return std::string(reinterpret_cast<const char*>(data()), size()); }

  /// Forgets what was written and keeps the room.
  void clear() { start_ = buffer_.size(); }

  void varint(std::uint32_t tag, std::uint64_t value) {
    raw_varint(value);
    raw_varint(tag);
  }

  /// Negative numbers of an enumeration take ten bytes, as everywhere.
  template <class E>
  void enumeration(std::uint32_t tag, E value) {
    raw_enum(value);
    raw_varint(tag);
  }

  /// Writes a float, double, fixed32 or fixed64.
  template <class T>
  void plain(std::uint32_t tag, T value) {
    std::memcpy(room(sizeof(T)), &value, sizeof(T));
    raw_varint(tag);
  }

  /// Writes text, bytes, or a run of four-byte numbers.
  template <class C>
  void block(std::uint32_t tag, const C& values) {
    const std::size_t bytes = values.size() * sizeof(*values.data());
    std::uint8_t* to = room(bytes);
    if (bytes > 0) std::memcpy(to, values.data(), bytes);
    close(tag, bytes);
  }

  template <class E>
  void enum_run(std::uint32_t tag, const std::vector<E>& values) {
    const std::size_t before = size();
    for (std::size_t i = values.size(); i > 0; --i) raw_enum(values[i - 1]);
    close(tag, size() - before);
  }

  template <class M>
  void message(std::uint32_t tag, const M& value) {
    const std::size_t before = size();
    value.write_to(*this);
    close(tag, size() - before);
  }

  /// Puts tag and length in front of the last `bytes` bytes.
  void close(std::uint32_t tag, std::size_t bytes) {
    raw_varint(bytes);
    raw_varint(tag);
  }

 private:
  template <class E>
  void raw_enum(E value) {
    raw_varint(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  }

  void raw_varint(std::uint64_t value) {
    std::size_t count = 1;
    for (std::uint64_t rest = value >> 7; rest != 0; rest >>= 7) ++count;
    std::uint8_t* to = room(count);
    for (; value >= 0x80; value >>= 7) *to++ = static_cast<std::uint8_t>(value | 0x80);
    *to = static_cast<std::uint8_t>(value);
  }

  std::uint8_t* room(std::size_t bytes) {
    if (bytes > start_) {
      const std::size_t more = bytes + buffer_.size() + 64;
      std::vector<std::uint8_t> larger(buffer_.size() + more);
      if (size() > 0) std::memcpy(larger.data() + start_ + more, data(), size());
      buffer_.swap(larger);
      start_ += more;
    }
    start_ -= bytes;
    return buffer_.data() + start_;
  }

  std::vector<std::uint8_t> buffer_;
  std::size_t start_ = 0;
};

/// Returns whether a number differs from zero in its bits: minus zero and NaN are no defaults.
template <class T>
bool is_set(T value) {
  const T zero{};
  return std::memcmp(&value, &zero, sizeof(T)) != 0;
}

/// Reads `message` from all of the bytes; after a fault its content is what was read so far.
template <class M>
Fault parse(const void* data, std::size_t size, M& message, std::size_t max_bytes = kDefaultMaxBytes) {
  Reader reader(data, size, max_bytes);
  message.merge_from(reader);
  return reader.fault();
}

/// Returns the message as bytes, fields in the order of their numbers, maps in that of their keys.
template <class M>
std::string serialize(const M& message) {
  Writer writer;
  message.write_to(writer);
  return writer.str();
}

}  // namespace twin6g::wire
