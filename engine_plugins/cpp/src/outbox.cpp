#include "outbox.hpp"

#include <algorithm>
#include <utility>

#include "wall_clock.hpp"

namespace twin6g {
namespace {

// Bare acknowledgements wait for this many, or this long: each is a message, and messages are what costs.
constexpr std::uint64_t kAckBatch = 32;
constexpr std::chrono::milliseconds kAckDelay{5};

}  // namespace

void Outbox::begin(std::uint32_t window) {
  const std::lock_guard lock(mutex_);
  first_kept_ = 1;
  sent_ = ack_ = ack_told_ = 0;
  ack_due_ = Clock::time_point::max();
  window_ = window;
  open_ = true;
  wake_.notify_all();
}

bool Outbox::resume(std::uint64_t ack, std::uint32_t window) {
  const std::lock_guard lock(mutex_);
  if (ack > sent_) return false;
  forget(ack);
  sent_ = first_kept_ - 1;
  ack_told_ = ack_;
  window_ = window;
  open_ = true;
  wake_.notify_all();
  return true;
}

void Outbox::suspend() {
  const std::lock_guard lock(mutex_);
  open_ = false;
  control_.clear();
  for (auto& [channel, state] : channels_) state.credit = 0;
  wake_.notify_all();
}

bool Outbox::open() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

void Outbox::control(ConnectRequest message) {
  const std::lock_guard lock(mutex_);
  control_.push_back(std::make_shared<ConnectRequest>(std::move(message)));
  wake_.notify_all();
}

bool Outbox::lossless(ConnectRequest message, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  const auto has_room = [this] { return kept_.size() < most_messages_ && kept_bytes_ < most_bytes_; };
  if (!room_.wait_until(lock, deadline, has_room)) return false;
  keep(std::move(message));
  return true;
}

void Outbox::answer(ConnectRequest message) {
  const std::lock_guard lock(mutex_);
  keep(std::move(message));
}

void Outbox::keep(ConnectRequest message) {
  const std::size_t bytes = message.ByteSizeLong();
  kept_.push_back({std::make_shared<ConnectRequest>(std::move(message)), bytes});
  kept_bytes_ += bytes;
  wake_.notify_all();
}

void Outbox::newest(Channel channel, ConnectRequest message) {
  const std::lock_guard lock(mutex_);
  ChannelState& state = channels_[channel];
  if (state.slot.message) ++state.dropped;
  state.slot = {std::make_shared<ConnectRequest>(std::move(message)), Clock::now()};
  wake_.notify_all();
}

void Outbox::grant(Channel channel, std::uint32_t messages) {
  const std::lock_guard lock(mutex_);
  channels_[channel].credit += messages;
  wake_.notify_all();
}

void Outbox::acknowledge(std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  if (seq <= ack_) return;
  if (ack_ == ack_told_) ack_due_ = Clock::now() + kAckDelay;
  ack_ = seq;
  wake_.notify_all();
}

bool Outbox::acknowledged(std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  if (seq > sent_) return false;
  forget(seq);
  wake_.notify_all();
  return true;
}

void Outbox::forget(std::uint64_t up_to) {
  for (; first_kept_ <= up_to && !kept_.empty(); ++first_kept_) {
    kept_bytes_ -= kept_.front().bytes;
    kept_.pop_front();
  }
  room_.notify_all();
}

Outbox::Message Outbox::next(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  const Clock::time_point deadline = Clock::now() + wait;
  while (open_) {
    const Clock::time_point now = Clock::now();
    if (Message message = pick(now)) return message;
    if (now >= deadline) return nullptr;
    wake_.wait_until(lock, std::min(deadline, ack_due_));
  }
  return nullptr;
}

Outbox::Message Outbox::pick(Clock::time_point now) {
  if (!control_.empty()) {
    Message message = std::move(control_.front());
    control_.pop_front();
    return stamped(std::move(message), 0);
  }
  const std::uint64_t under_way = sent_ - (first_kept_ - 1);
  if (under_way < kept_.size() && under_way < window_) return stamped(kept_[under_way].message, ++sent_);
  for (auto& [channel, state] : channels_) {
    if (state.credit == 0 || !state.slot.message) continue;
    --state.credit;
    state.age_s = std::chrono::duration<double>(now - state.slot.since).count();
    return stamped(std::exchange(state.slot.message, nullptr), 0);
  }
  if (ack_ - ack_told_ >= kAckBatch || now >= ack_due_) return stamped(std::make_shared<ConnectRequest>(), 0);
  return nullptr;
}

Outbox::Message Outbox::stamped(Message message, std::uint64_t seq) {
  message->set_seq(seq);
  message->set_ack(ack_);
  message->set_wall_time_unix_ns(wall_clock_ns());
  message->set_sim_time_s(sim_time_s_);
  ack_told_ = ack_;
  ack_due_ = Clock::time_point::max();
  return message;
}

bool Outbox::drained(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return room_.wait_until(lock, deadline, [this] { return kept_.empty(); });
}

void Outbox::set_sim_time_s(double now_s) {
  const std::lock_guard lock(mutex_);
  sim_time_s_ = std::max(sim_time_s_, now_s);
}

double Outbox::sim_time_s() const {
  const std::lock_guard lock(mutex_);
  return sim_time_s_;
}

std::size_t Outbox::depth() const {
  const std::lock_guard lock(mutex_);
  return kept_.size();
}

std::uint64_t Outbox::dropped(Channel channel) const {
  const std::lock_guard lock(mutex_);
  const auto found = channels_.find(channel);
  return found == channels_.end() ? 0 : found->second.dropped;
}

double Outbox::age_s(Channel channel) const {
  const std::lock_guard lock(mutex_);
  const auto found = channels_.find(channel);
  return found == channels_.end() ? 0 : found->second.age_s;
}

}  // namespace twin6g
