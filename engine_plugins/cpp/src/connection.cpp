#include "connection.hpp"

#include <thread>

#include "wall_clock.hpp"

namespace twin6g {
namespace {

using bridge::v1::ConnectResponse;
using Steady = std::chrono::steady_clock;

constexpr int kMaxMessageBytes = 4 * 1024 * 1024;
constexpr std::chrono::seconds kReachTimeout{5};
// Before Welcome says otherwise: three intervals of 2 s, then the twin is taken for dead.
constexpr int kHeartbeatsMissed = 3;

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Steady::now().time_since_epoch()).count();
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 25'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A connection of its own for every attempt: the pauses between attempts are this client's, not the library's.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

Connection::Connection(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       Outbox& outbox, ConnectionHost& host)
    : channel_(grpc::CreateCustomChannel(address, credentials, channel_arguments())), outbox_(outbox), host_(host) {}

Ending Connection::run(const bridge::v1::Hello& hello) {
  if (!reach()) {
    if (ending_.reason.empty()) ending_.reason = "nobody answers at this address";
    return ending_;
  }
  heard_ns_ = steady_ns();
  const auto stub = bridge::v1::BridgeService::NewStub(channel_);
  const auto stream = stub->Connect(&context_);
  bridge::v1::ConnectRequest first;
  *first.mutable_hello() = hello;
  first.set_wall_time_unix_ns(wall_clock_ns());
  first.set_sim_time_s(outbox_.sim_time_s());

  std::thread watcher([this] { watch(); });
  if (stream->Write(first)) {
    std::thread writer;
    ConnectResponse response;
    while (stream->Read(&response)) {  // to the very end: Finish would wait for ever for a message that nobody read
      heard_ns_ = steady_ns();
      try {
        take(response);
      } catch (const RuleBroken& broken) {
        cancel(broken.what());
      }
      if (ending_.welcomed && !writer.joinable()) writer = std::thread([this, &stream] { write(*stream); });
    }
    outbox_.suspend();
    if (writer.joinable()) writer.join();
  } else {
    ConnectResponse rest;
    while (stream->Read(&rest)) take(rest);  // a Refusal, if the twin still said one
  }
  const grpc::Status status = stream->Finish();
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
    if (ending_.reason.empty()) ending_.reason = status.ok() ? "the twin ended the stream" : status.error_message();
  }
  watcher.join();
  return ending_;
}

bool Connection::reach() {
  const auto give_up = Steady::now() + kReachTimeout;
  grpc_connectivity_state state = channel_->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return false;
    }
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN || Steady::now() > give_up) {
      return false;
    }
    channel_->WaitForStateChange(state, std::chrono::system_clock::now() + std::chrono::milliseconds(50));
    state = channel_->GetState(true);
  }
  return true;
}

void Connection::cancel(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (ending_.reason.empty()) ending_.reason = reason;
  cancelled_ = true;
  context_.TryCancel();
}

void Connection::take(const ConnectResponse& response) {
  switch (response.body_case()) {
    case ConnectResponse::kRefusal: {
      const auto& refusal = response.refusal();
      const std::lock_guard lock(mutex_);
      ending_.reason = refusal.message();
      ending_.retry_after_s = refusal.retry_after_s();
      if (refusal.retry_after_s() <= 0) ending_.failure = Failure{refusal.code(), refusal.message()};
      return;
    }
    case ConnectResponse::kWelcome:
      if (ending_.welcomed) throw RuleBroken("the twin said Welcome twice");
      host_.welcomed(response);
      {
        const std::lock_guard lock(mutex_);
        ending_.welcomed = true;
        if (response.welcome().heartbeat_interval_s() > 0) heartbeat_s_ = response.welcome().heartbeat_interval_s();
        changed_.notify_all();
      }
      return;
    default:
      break;
  }
  if (!ending_.welcomed) throw RuleBroken("the twin did not begin with Welcome");
  if (response.ack() != 0 && !outbox_.acknowledged(response.ack())) {
    throw RuleBroken("the twin acknowledged a message that was never sent");
  }
  switch (response.body_case()) {
    case ConnectResponse::kCredit:
      outbox_.grant(response.credit().channel(), response.credit().messages());
      return;
    case ConnectResponse::kHeartbeat:
      answer(response.heartbeat());
      return;
    case ConnectResponse::kHeartbeatReply: {
      const auto& reply = response.heartbeat_reply();
      const auto now = static_cast<std::int64_t>(wall_clock_ns());
      const auto sent = static_cast<std::int64_t>(reply.sent_unix_ns());
      const auto received = static_cast<std::int64_t>(reply.received_unix_ns());
      // The offset assumes that both ways take equally long.
      host_.measured(static_cast<double>(now - sent) / 1e9,
                     static_cast<double>(received - (sent + (now - sent) / 2)) / 1e9);
      return;
    }
    case ConnectResponse::kNotice:
      if (response.notice().code() == bridge::v1::NOTICE_CODE_TAKEN_OVER) {
        const std::lock_guard lock(mutex_);
        ending_.reason = response.notice().message();
        ending_.failure = Failure{bridge::v1::REFUSAL_CODE_CONFLICT, response.notice().message()};
      }
      break;
    default:
      break;
  }
  host_.told(response);
}

void Connection::write(Stream& stream) {
  for (;;) {
    const Outbox::Message message = outbox_.next(std::chrono::milliseconds(500));
    if (message) {
      if (!stream.Write(*message)) return;
      if (message->has_goodbye()) {
        stream.WritesDone();
        return;
      }
    } else {
      const std::lock_guard lock(mutex_);
      if (over_ || cancelled_) return;
    }
    if (!outbox_.open()) return;
  }
}

void Connection::watch() {
  std::unique_lock lock(mutex_);
  for (std::uint64_t number = 1; !over_;) {
    const bool was_welcomed = ending_.welcomed;
    if (was_welcomed) {
      lock.unlock();
      probe(number++);
      lock.lock();
    }
    changed_.wait_for(lock, std::chrono::duration<double>(heartbeat_s_),
                      [&] { return over_ || ending_.welcomed != was_welcomed; });
    const double silence_s = static_cast<double>(steady_ns() - heard_ns_) / 1e9;
    if (!over_ && silence_s > kHeartbeatsMissed * heartbeat_s_) {
      lock.unlock();
      cancel("the twin gave no sign of life for " + std::to_string(silence_s) + " s");
      lock.lock();
      changed_.wait(lock, [this] { return over_; });
    }
  }
}

void Connection::probe(std::uint64_t number) {
  bridge::v1::ConnectRequest message;
  message.mutable_heartbeat()->set_number(number);
  message.mutable_heartbeat()->set_sent_unix_ns(wall_clock_ns());
  outbox_.control(std::move(message));
}

void Connection::answer(const bridge::v1::Heartbeat& heartbeat) {
  bridge::v1::ConnectRequest message;
  auto* reply = message.mutable_heartbeat_reply();
  reply->set_number(heartbeat.number());
  reply->set_sent_unix_ns(heartbeat.sent_unix_ns());
  reply->set_received_unix_ns(wall_clock_ns());
  outbox_.control(std::move(message));
  const std::uint64_t dropped = outbox_.dropped(bridge::v1::CHANNEL_TELEMETRY);
  if (dropped == told_dropped_) return;
  told_dropped_ = dropped;
  bridge::v1::ConnectRequest flow;
  flow.mutable_flow_report()->set_channel(bridge::v1::CHANNEL_TELEMETRY);
  flow.mutable_flow_report()->set_dropped(dropped);
  flow.mutable_flow_report()->set_age_ms(
      static_cast<float>(1000 * outbox_.age_s(bridge::v1::CHANNEL_TELEMETRY)));
  outbox_.control(std::move(flow));
}

}  // namespace twin6g
