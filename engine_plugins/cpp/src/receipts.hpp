// Numbers of the twin's lossless messages: which arrived, and up to which all were dealt with.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>

namespace twin6g {

class Receipts {
 public:
  enum class Verdict { fresh, repeated, gap };

  // Numbers begin at 1 again.
  void begin() {
    const std::lock_guard lock(mutex_);
    arrived_ = done_ = 0;
    early_.clear();
    ++life_;
  }
  // The twin sends again what comes after `done`.
  void resume() {
    const std::lock_guard lock(mutex_);
    arrived_ = done_;
  }
  // `repeated`: dealt with already, on an earlier connection.
  Verdict arrived(std::uint64_t seq) {
    const std::lock_guard lock(mutex_);
    if (seq != arrived_ + 1) return Verdict::gap;
    arrived_ = seq;
    return early_.count(seq) != 0 || seq <= done_ ? Verdict::repeated : Verdict::fresh;
  }
  // Marks a message of the session `life` as dealt with; returns up to which number all are.
  std::uint64_t done(std::uint64_t seq, std::uint64_t life) {
    const std::lock_guard lock(mutex_);
    if (life == life_ && seq > done_) early_.insert(seq);
    while (early_.erase(done_ + 1) != 0) ++done_;
    return done_;
  }
  std::uint64_t done() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  std::uint64_t life() const {
    const std::lock_guard lock(mutex_);
    return life_;
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t arrived_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t life_ = 0;
  std::set<std::uint64_t> early_;
};

}  // namespace twin6g
