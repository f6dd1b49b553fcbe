// One stream from Hello to its end: reading, writing, heartbeats. What the messages mean is the host's business.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "bridge/v1/bridge.grpc.pb.h"
#include "outbox.hpp"
#include "twin6g/scene_client.hpp"

namespace twin6g {

// The twin broke the rules of the stream.
class RuleBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How a stream ended.
struct Ending {
  std::string reason;
  bool welcomed = false;
  // The least to wait before trying again.
  double retry_after_s = 0;
  // Set: trying again does not help.
  std::optional<Failure> failure;
};

class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // The first answer; opens the outbox. May throw RuleBroken.
  virtual void welcomed(const bridge::v1::ConnectResponse& response) = 0;
  // Any later message that is not about the stream itself. May throw RuleBroken.
  virtual void told(const bridge::v1::ConnectResponse& response) = 0;
  // The twin answered a heartbeat.
  virtual void measured(double round_trip_s, double clock_offset_s) = 0;
};

class Connection {
 public:
  Connection(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials, Outbox& outbox,
             ConnectionHost& host);

  // Returns when the stream is over.
  Ending run(const bridge::v1::Hello& hello);
  // Ends the stream from another thread.
  void cancel(const std::string& reason);

 private:
  using Stream = grpc::ClientReaderWriter<bridge::v1::ConnectRequest, bridge::v1::ConnectResponse>;
  bool reach();
  void take(const bridge::v1::ConnectResponse& response);
  void write(Stream& stream);
  void watch();
  void probe(std::uint64_t number);
  void answer(const bridge::v1::Heartbeat& heartbeat);

  std::shared_ptr<grpc::Channel> channel_;
  Outbox& outbox_;
  ConnectionHost& host_;
  grpc::ClientContext context_;
  Ending ending_;
  std::atomic<std::int64_t> heard_ns_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  bool cancelled_ = false;
  double heartbeat_s_ = 2.0;
  std::uint64_t told_dropped_ = 0;
};

}  // namespace twin6g
