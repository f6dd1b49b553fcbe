// The scene's answers to commands: the same id is answered again, never obeyed twice, also after the scene was killed.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "bridge/v1/command.pb.h"

namespace twin6g {

class CommandRecord {
 public:
  // Keeps the newest answers in memory and, unless `path` is empty, in a file that is read again here.
  // Throws std::runtime_error when the file cannot be opened.
  explicit CommandRecord(const std::string& path);
  ~CommandRecord();
  CommandRecord(const CommandRecord&) = delete;
  CommandRecord& operator=(const CommandRecord&) = delete;

  std::optional<bridge::v1::CommandAck> find(const std::string& command_id) const;
  // On the disk when this returns. Throws std::runtime_error when it cannot be written; it may be tried again.
  void keep(const bridge::v1::CommandAck& answer);

 private:
  void remember(const bridge::v1::CommandAck& answer);
  void read_file();
  void cut_to_whole_rows();
  void append(const std::string& bytes);

  mutable std::mutex mutex_;
  int file_ = -1;
  std::int64_t file_bytes_ = 0;
  std::list<std::string> order_;
  std::unordered_map<std::string, bridge::v1::CommandAck> answers_;
};

}  // namespace twin6g
