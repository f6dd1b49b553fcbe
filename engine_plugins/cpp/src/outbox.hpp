// What the scene still has to say: in which order it goes and what may be lost.
//
// Four kinds, in order of precedence: control messages, lossless messages (numbered, kept until acknowledged, at most
// a window of them under way), newest-wins messages (one slot per channel, sent only with credit) and bare
// acknowledgements. Safe to call from any thread; `next` belongs to the writer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "bridge/v1/bridge.pb.h"

namespace twin6g {

using bridge::v1::Channel;
using bridge::v1::ConnectRequest;

class Outbox {
 public:
  using Clock = std::chrono::steady_clock;
  using Message = std::shared_ptr<ConnectRequest>;

  Outbox(std::size_t most_messages, std::size_t most_bytes) : most_messages_(most_messages), most_bytes_(most_bytes) {}

  // A new session: everything that was not acknowledged goes out again, numbered from 1.
  void begin(std::uint32_t window);
  // The old session goes on: what came after `ack` goes out again under its old number. False: `ack` was never sent.
  bool resume(std::uint64_t ack, std::uint32_t window);
  // No stream: nothing is handed out, credits are gone.
  void suspend();
  bool open() const;

  void control(ConnectRequest message);
  // Waits for room until the deadline; false: there was none, and the message is not kept.
  bool lossless(ConnectRequest message, Clock::time_point deadline);
  // Lossless too, but beyond the limit: for the few that answer what the twin asked.
  void answer(ConnectRequest message);
  // Replaces what waits on the channel, and counts the loss.
  void newest(Channel channel, ConnectRequest message);
  void grant(Channel channel, std::uint32_t messages);

  // The twin's messages up to `seq` were dealt with.
  void acknowledge(std::uint64_t seq);
  // The twin has dealt with ours up to `seq`. False: that number was never sent.
  bool acknowledged(std::uint64_t seq);

  // The next message to write with its header, or null when none came in time or the stream is suspended.
  Message next(std::chrono::milliseconds wait);
  // Waits until every lossless message is acknowledged.
  bool drained(Clock::time_point deadline);

  void set_sim_time_s(double now_s);
  double sim_time_s() const;
  std::size_t depth() const;
  std::uint64_t dropped(Channel channel) const;
  // How old the message sent last on the channel was when it went out.
  double age_s(Channel channel) const;

 private:
  struct Kept {
    Message message;
    std::size_t bytes = 0;
  };
  struct Slot {
    Message message;
    Clock::time_point since;
  };
  struct ChannelState {
    std::uint32_t credit = 0;
    std::uint64_t dropped = 0;
    double age_s = 0;
    Slot slot;
  };
  Message pick(Clock::time_point now);
  Message stamped(Message message, std::uint64_t seq);
  void keep(ConnectRequest message);
  void forget(std::uint64_t up_to);

  const std::size_t most_messages_;
  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable room_;
  bool open_ = false;
  double sim_time_s_ = 0;
  std::deque<Message> control_;
  std::deque<Kept> kept_;
  std::size_t kept_bytes_ = 0;
  std::uint64_t first_kept_ = 1;
  std::uint64_t sent_ = 0;
  std::uint32_t window_ = 0;
  std::map<Channel, ChannelState> channels_;
  std::uint64_t ack_ = 0;
  std::uint64_t ack_told_ = 0;
  Clock::time_point ack_due_ = Clock::time_point::max();
};

}  // namespace twin6g
