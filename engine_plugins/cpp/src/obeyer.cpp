#include "obeyer.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "wall_clock.hpp"

namespace twin6g {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr std::size_t kMostOrders = 1024;
constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kLongestRetry{5000};

}  // namespace

Obeyer::Obeyer(const Handlers& handlers, const std::string& record_file, Outbox& outbox, Receipts& receipts,
               std::function<Situation()> situation,
               std::function<void(const std::vector<EntityAttribute>&)> applied)
    : handlers_(handlers),
      record_(record_file),
      outbox_(outbox),
      receipts_(receipts),
      situation_(std::move(situation)),
      applied_(std::move(applied)),
      worker_([this] { work(); }) {}

Obeyer::~Obeyer() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  worker_.join();
}

bool Obeyer::take(Order order) {
  const std::lock_guard lock(mutex_);
  if (orders_.size() >= kMostOrders) return false;
  orders_.push_back(std::move(order));
  changed_.notify_all();
  return true;
}

void Obeyer::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !orders_.empty(); });
    if (orders_.empty()) return;
    const Order order = std::move(orders_.front());
    orders_.pop_front();
    lock.unlock();
    if (const auto* command = std::get_if<Command>(&order.what)) {
      if (!obey(*command)) return;
    } else {
      take_picture(std::get<bridge::v1::CameraRequest>(order.what));
    }
    if (order.seq != 0) outbox_.acknowledge(receipts_.done(order.seq, order.life));
  }
}

bool Obeyer::obey(const Command& command) {
  if (const auto known = record_.find(command.id())) {
    answer(*known);
    return true;
  }
  CommandAck ack;
  ack.set_command_id(command.id());
  ack.set_stage(bridge::v1::COMMAND_STAGE_RECEIVED);
  answer(ack);
  const Situation now = situation_();
  const bool fenced = command.fencing_number() != 0 && command.fencing_number() < now.fencing_number;
  const Outcome outcome = fenced ? Outcome{bridge::v1::COMMAND_STAGE_REJECTED, {},
                                           "sent under the ownership `" + std::to_string(command.fencing_number()) +
                                               "`, the scene has `" + std::to_string(now.fencing_number) + "`"}
                                 : outcome_of(command, now);
  ack.set_stage(outcome.stage);
  ack.set_reason(outcome.reason);
  ack.set_sim_time_s(outbox_.sim_time_s());
  for (const auto& attribute : outcome.observed) *ack.add_observed() = attribute;
  // An order of an older holding is not kept: the same one may come again from who holds the scene now.
  if (!command.dry_run() && !fenced) {
    if (outcome.stage == bridge::v1::COMMAND_STAGE_APPLIED) applied_(outcome.observed);
    if (!keep(ack)) return false;
  }
  answer(ack);
  return true;
}

bool Obeyer::keep(const CommandAck& ack) {
  for (auto pause = kFirstRetry;; pause = std::min(2 * pause, kLongestRetry)) {
    try {
      record_.keep(ack);
      return true;
    } catch (const std::exception& error) {
      if (handlers_.on_unrecorded) handlers_.on_unrecorded(ack.command_id(), error.what());
    }
    std::unique_lock lock(mutex_);
    if (closed_) return false;
    changed_.wait_for(lock, pause, [this] { return closed_; });
  }
}

Outcome Obeyer::outcome_of(const Command& command, const Situation& now) {
  if (command.deadline_unix_ns() != 0 && wall_clock_ns() > command.deadline_unix_ns()) {
    return {bridge::v1::COMMAND_STAGE_EXPIRED, {}, "the deadline had passed when the scene got the command"};
  }
  const auto reject = [](std::string reason) {
    return Outcome{bridge::v1::COMMAND_STAGE_REJECTED, {}, std::move(reason)};
  };
  if (command.expected_revision() != 0 && command.expected_revision() != now.revision) {
    return reject("made for revision `" + std::to_string(command.expected_revision()) + "`, the scene is at `" +
                  std::to_string(now.revision) + "`");
  }
  if (command.body_case() == Command::BODY_NOT_SET) return reject("the scene does not know this kind of order");
  if (!handlers_.on_command) return reject("this scene obeys no commands");
  try {
    return handlers_.on_command(command);
  } catch (const std::exception& error) {
    return {bridge::v1::COMMAND_STAGE_FAILED, {}, error.what()};
  }
}

void Obeyer::answer(const CommandAck& ack) {
  bridge::v1::ConnectRequest request;
  *request.mutable_command_ack() = ack;
  outbox_.answer(std::move(request));
}

void Obeyer::take_picture(const bridge::v1::CameraRequest& wanted) {
  Picture picture;
  picture.reason = "this scene has no camera";
  if (handlers_.on_camera) {
    try {
      picture = handlers_.on_camera(wanted);
    } catch (const std::exception& error) {
      picture = {};
      picture.reason = error.what();
    }
  }
  std::size_t begin = 0;
  do {
    bridge::v1::ConnectRequest request;
    auto* frame = request.mutable_camera_frame();
    frame->set_request_id(wanted.request_id());
    frame->set_camera_id(wanted.camera_id());
    frame->set_sim_time_s(outbox_.sim_time_s());
    frame->set_reason(picture.reason);
    if (picture.reason.empty()) {
      frame->set_codec(picture.codec);
      frame->set_width(picture.width);
      frame->set_height(picture.height);
      frame->set_total_bytes(static_cast<std::uint32_t>(picture.bytes.size()));
      frame->set_offset(begin);
      frame->set_data(picture.bytes.substr(begin, kChunkBytes));
      begin += kChunkBytes;
    }
    frame->set_last(!picture.reason.empty() || begin >= picture.bytes.size());
    outbox_.control(std::move(request));
  } while (picture.reason.empty() && begin < picture.bytes.size());
}

}  // namespace twin6g
