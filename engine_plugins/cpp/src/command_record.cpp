#include "command_record.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace twin6g {
namespace {

constexpr std::size_t kMostAnswers = 4096;
// A row is four bytes of length, little-endian, and a serialized CommandAck of at most this size.
constexpr std::size_t kMostRowBytes = 4 * 1024 * 1024;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error("the record of commands " + what + ": " + std::strerror(errno));
}

bool read_exactly(int file, char* into, std::size_t count) {
  while (count > 0) {
    const ssize_t got = ::read(file, into, count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

CommandRecord::CommandRecord(const std::string& path) {
  if (path.empty()) return;
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) fail("`" + path + "` cannot be opened");
  try {
    read_file();
  } catch (...) {
    ::close(file_);
    throw;
  }
}

CommandRecord::~CommandRecord() {
  if (file_ >= 0) ::close(file_);
}

std::optional<bridge::v1::CommandAck> CommandRecord::find(const std::string& command_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = answers_.find(command_id);
  if (found == answers_.end()) return std::nullopt;
  return found->second;
}

void CommandRecord::keep(const bridge::v1::CommandAck& answer) {
  const std::lock_guard lock(mutex_);
  if (file_ >= 0) append(answer.SerializeAsString());
  remember(answer);
}

void CommandRecord::remember(const bridge::v1::CommandAck& answer) {
  if (answers_.emplace(answer.command_id(), answer).second) order_.push_back(answer.command_id());
  while (order_.size() > kMostAnswers) {
    answers_.erase(order_.front());
    order_.pop_front();
  }
}

// A scene that was killed in the middle of a row had not answered yet, so the torn row is cut off.
void CommandRecord::read_file() {
  unsigned char length[4];
  std::string bytes;
  bridge::v1::CommandAck answer;
  while (read_exactly(file_, reinterpret_cast<char*>(length), sizeof length)) {
    const std::size_t size = length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::size_t>(length[3]) << 24;
    if (size > kMostRowBytes) break;
    bytes.resize(size);
    if (!read_exactly(file_, bytes.data(), size) || !answer.ParseFromString(bytes)) break;
    if (answer.command_id().empty()) break;  // zeros of a file that grew before its bytes came
    remember(answer);
    file_bytes_ += static_cast<std::int64_t>(sizeof length + size);
  }
  cut_to_whole_rows();
}

void CommandRecord::cut_to_whole_rows() {
  if (::ftruncate(file_, file_bytes_) != 0) fail("cannot be cut to its last whole row");
}

void CommandRecord::append(const std::string& bytes) {
  std::string row;
  for (int shift = 0; shift < 32; shift += 8) row.push_back(static_cast<char>(bytes.size() >> shift & 0xff));
  row += bytes;
  cut_to_whole_rows();  // an earlier attempt may have left a part, and rows behind it would never be read again
  std::size_t done = 0;
  while (done < row.size()) {
    const ssize_t put =
        ::pwrite(file_, row.data() + done, row.size() - done, file_bytes_ + static_cast<std::int64_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot be written");
    done += static_cast<std::size_t>(put);
  }
  if (::fdatasync(file_) != 0) fail("cannot be brought to the disk");
  file_bytes_ += static_cast<std::int64_t>(row.size());
}

}  // namespace twin6g
