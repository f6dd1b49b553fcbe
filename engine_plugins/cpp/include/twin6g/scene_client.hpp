// A scene's connection to the twin, over grpc++.
//
//   twin6g::Handlers handlers;
//   handlers.on_command = [&](const twin6g::Command& command) { return obey(command); };
//   twin6g::SceneClient scene({.address = "127.0.0.1:8601", ...}, handlers);
//   if (!scene.wait_ready(std::chrono::seconds(10))) fail(scene.failure());
//   scene.send_observed(configuration); scene.send_live(now_s);
//   loop { scene.send_telemetry(batch); scene.send_pm(report, a_second); }
//   scene.close("the player left");
//
// The client connects, comes back with growing pauses, resumes its session, answers heartbeats, keeps every lossless
// message until the twin has stored it, and remembers its answers to commands, so that a repeated command is answered
// again and not obeyed twice. The rules that it keeps stand in docs/bridge.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bridge/v1/bridge.pb.h"
#include "twin6g/inventory.hpp"

namespace twin6g {

using Command = bridge::v1::Command;
using CommandAck = bridge::v1::CommandAck;
using EntityAttribute = bridge::v1::EntityAttribute;

struct Settings {
  std::string address = "127.0.0.1:8601";
  std::string scene_id = "main";
  // What the scene provides: MOTION, KPI. This client hands out no state, so STATE is refused.
  std::vector<bridge::v1::Provision> provides{bridge::v1::PROVISION_MOTION};
  std::string engine = "cpp";
  std::string engine_version;
  std::string token;
  // PEM file of the authority that signed the twin's certificate. Empty = no TLS.
  std::string ca_file;
  // File that keeps the answers to commands over a restart of the scene. Empty = memory only.
  std::string record_file;
  std::uint32_t epoch = 1;
  // Push out another client that holds what this scene provides.
  bool takeover = false;
  std::vector<std::string> camera_codecs;
  std::vector<std::string> archetypes;
  // Most lossless messages kept while the twin is away.
  std::size_t most_messages = 4096;
  std::size_t most_bytes = std::size_t{64} * 1024 * 1024;
};

// The final answer to a command. `observed` is what the scene reads back, in the order of the actions.
struct Outcome {
  bridge::v1::CommandStage stage = bridge::v1::COMMAND_STAGE_APPLIED;
  std::vector<EntityAttribute> observed;
  std::string reason;
};

// A picture, or why there is none.
struct Picture {
  bridge::v1::ImageCodec codec = bridge::v1::IMAGE_CODEC_PNG;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::string bytes;
  std::string reason;
};

// What the scene does when the twin speaks. Each may be empty. `on_command`, `on_camera` and `on_unrecorded` are
// called one at a time on a thread of their own; the others on the reading thread and must return quickly.
struct Handlers {
  // After every connect, resumed or not.
  std::function<void(const bridge::v1::Welcome&, const Inventory&)> on_start;
  // After every change of the inventory: indices of telemetry belong to its revision.
  std::function<void(const Inventory&)> on_inventory;
  // Configuration that the scene must have; follows a start that was not resumed.
  std::function<void(const std::vector<EntityAttribute>&)> on_desired;
  // Obeys. Not called for a command that was answered before, is too late or was made for another revision. With
  // `dry_run` set it must only check. An exception answers FAILED with its text.
  std::function<Outcome(const Command&)> on_command;
  // The answer to a command cannot be recorded; called at each attempt. The command took effect, so nothing final is
  // said and nothing further obeyed until the disk takes the answer.
  std::function<void(const std::string& command_id, const std::string& reason)> on_unrecorded;
  std::function<Picture(const bridge::v1::CameraRequest&)> on_camera;
  // Figures of the scene that others provide, after `subscribe`.
  std::function<void(const bridge::v1::Telemetry&)> on_telemetry;
  // Everything else that the twin says: alarms, events, reports, presence, notices.
  std::function<void(const bridge::v1::ConnectResponse&)> on_news;
  // The stream broke, with the reason; the client comes back by itself unless `failure` is set.
  std::function<void(const std::string&)> on_lost;
};

// Why the client has stopped for good.
struct Failure {
  bridge::v1::RefusalCode code = bridge::v1::REFUSAL_CODE_UNSPECIFIED;
  std::string message;
};

struct Statistics {
  std::uint64_t connections = 0;
  std::uint64_t resumed = 0;
  std::uint64_t telemetry_dropped = 0;
  std::uint64_t unknown_bodies = 0;
  std::size_t unacknowledged = 0;
  // Of the last heartbeat; NaN before the first answer. The offset is the twin's clock minus this one.
  double round_trip_s = 0;
  double clock_offset_s = 0;
};

class SceneClient {
 public:
  // Begins to connect. Throws std::invalid_argument for settings that cannot be meant, std::runtime_error for a file
  // that cannot be read.
  SceneClient(Settings settings, Handlers handlers);
  // Closes without a reason.
  ~SceneClient();
  SceneClient(const SceneClient&) = delete;
  SceneClient& operator=(const SceneClient&) = delete;

  // Waits for the first start; false when it did not come in time or the twin refused.
  bool wait_ready(std::chrono::milliseconds timeout);
  // Says Goodbye, which ends the session for good, and waits for the stream to end.
  void close(const std::string& reason);

  bool connected() const;
  std::optional<Failure> failure() const;
  bridge::v1::Welcome welcome() const;
  // When the scene's simulated time begins: at wall now, never before what the twin remembers.
  double first_sim_time_s() const;
  // The present inventory; the one returned does not change.
  std::shared_ptr<const Inventory> inventory() const;
  Statistics statistics() const;

  // Offers positions and gauges; replaces a batch that could not go out yet. `epoch`, `number` and, where it is 0,
  // `revision` are filled in.
  void send_telemetry(bridge::v1::Telemetry batch);
  // Keeps counters of a period until the twin has stored them. Waits while the buffer is full; false: it stayed full.
  bool send_pm(bridge::v1::PmReport report, std::chrono::milliseconds timeout);
  // Tells the configuration as read back in the scene; repeated by itself after every start.
  void send_observed(const std::vector<EntityAttribute>& attributes);
  // Tells that the past is told; repeated by itself after every start.
  void send_live(double sim_time_s);
  bool send_event(bridge::v1::Event event, std::chrono::milliseconds timeout);
  bool send_alarm(bridge::v1::Alarm alarm, std::chrono::milliseconds timeout);
  void send_presence(bridge::v1::Presence presence);
  // Asks for figures and news of this scene; the last one counts and outlives a break.
  void subscribe(bridge::v1::Subscribe wanted);
  // Waits until the twin has stored every lossless message.
  bool drained(std::chrono::milliseconds timeout);

 private:
  class Life;
  std::unique_ptr<Life> life_;
};

}  // namespace twin6g
