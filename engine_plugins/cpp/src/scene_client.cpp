#include "twin6g/scene_client.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "connection.hpp"
#include "obeyer.hpp"
#include "outbox.hpp"
#include "receipts.hpp"
#include "standing.hpp"
#include "wall_clock.hpp"

namespace twin6g {
namespace {

using bridge::v1::ConnectResponse;
using Steady = std::chrono::steady_clock;

constexpr std::uint32_t kProtocolVersion = 1;
constexpr double kFirstPauseS = 0.25;
constexpr double kLongestPauseLoopbackS = 2.0;
constexpr double kLongestPauseS = 30.0;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("the file `" + path + "` cannot be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_loopback(const std::string& address) {
  for (const char* name : {"127.", "localhost", "[::1]"}) {
    if (address.rfind(name, 0) == 0) return true;
  }
  return false;
}

}  // namespace

class SceneClient::Life : public ConnectionHost {
 public:
  Life(Settings settings, Handlers handlers)
      : settings_(std::move(settings)),
        handlers_(std::move(handlers)),
        credentials_(settings_.ca_file.empty()
                         ? grpc::InsecureChannelCredentials()
                         : grpc::SslCredentials({read_file(settings_.ca_file), "", ""})),
        outbox_(settings_.most_messages, settings_.most_bytes),
        standing_(outbox_),
        obeyer_(handlers_, settings_.record_file, outbox_, receipts_, [this] { return situation(); },
                [this](const std::vector<EntityAttribute>& observed) { standing_.note(observed); }) {
    for (const auto provision : settings_.provides) {
      if (provision != bridge::v1::PROVISION_MOTION && provision != bridge::v1::PROVISION_KPI) {
        throw std::invalid_argument("this client provides MOTION and KPI only");
      }
    }
    runner_ = std::thread([this] { run(); });
  }

  ~Life() override {
    close("");
    runner_.join();
  }

  bool wait_ready(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [this] { return started_ || over_; });
    return started_;
  }

  void close(const std::string& reason) {
    std::unique_lock lock(mutex_);
    if (closing_) return;
    closing_ = true;
    changed_.notify_all();
    if (connection_ != nullptr && ready_) {
      bridge::v1::ConnectRequest goodbye;
      goodbye.mutable_goodbye()->set_reason(reason);
      outbox_.control(std::move(goodbye));
      changed_.wait_for(lock, std::chrono::seconds(1), [this] { return connection_ == nullptr; });
    }
    if (connection_ != nullptr) connection_->cancel("the scene ends");
    changed_.wait_for(lock, std::chrono::seconds(5), [this] { return over_; });
  }

  bool connected() const {
    const std::lock_guard lock(mutex_);
    return ready_;
  }
  std::optional<Failure> failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  bridge::v1::Welcome welcome() const {
    const std::lock_guard lock(mutex_);
    return welcome_;
  }
  std::shared_ptr<const Inventory> inventory() const {
    const std::lock_guard lock(mutex_);
    return inventory_;
  }
  Statistics statistics() const {
    const std::lock_guard lock(mutex_);
    Statistics now = statistics_;
    now.telemetry_dropped = outbox_.dropped(bridge::v1::CHANNEL_TELEMETRY);
    now.unacknowledged = outbox_.depth();
    return now;
  }

  void send_telemetry(bridge::v1::Telemetry batch) {
    outbox_.set_sim_time_s(batch.sim_time_s());
    batch.set_epoch(settings_.epoch);
    batch.set_number(++telemetry_number_);
    if (batch.revision() == 0) batch.set_revision(inventory()->revision());
    bridge::v1::ConnectRequest request;
    *request.mutable_telemetry() = std::move(batch);
    outbox_.newest(bridge::v1::CHANNEL_TELEMETRY, std::move(request));
  }

  bool send_pm(bridge::v1::PmReport report, std::chrono::milliseconds timeout) {
    report.set_epoch(settings_.epoch);
    report.set_number(++pm_number_);
    if (report.revision() == 0) report.set_revision(inventory()->revision());
    bridge::v1::ConnectRequest request;
    *request.mutable_pm_report() = std::move(report);
    return outbox_.lossless(std::move(request), Steady::now() + timeout);
  }

  Standing& standing() { return standing_; }

  bool send_lossless(bridge::v1::ConnectRequest request, std::chrono::milliseconds timeout) {
    return outbox_.lossless(std::move(request), Steady::now() + timeout);
  }

  bool drained(std::chrono::milliseconds timeout) { return outbox_.drained(Steady::now() + timeout); }

 private:
  // Connecting, and coming back.

  void run() {
    std::mt19937_64 random{std::random_device{}()};
    const double longest_s = is_loopback(settings_.address) ? kLongestPauseLoopbackS : kLongestPauseS;
    double pause_s = kFirstPauseS;
    for (;;) {
      Connection connection(settings_.address, credentials_, outbox_, *this);
      {
        const std::lock_guard lock(mutex_);
        if (closing_) break;
        connection_ = &connection;
      }
      const Ending ending = connection.run(hello());
      std::unique_lock lock(mutex_);
      connection_ = nullptr;
      ready_ = false;
      standing_.stream_ended();
      failure_ = ending.failure;
      changed_.notify_all();
      if (closing_) break;
      lock.unlock();
      if (handlers_.on_lost) handlers_.on_lost(ending.reason);
      lock.lock();
      if (failure_) break;
      if (ending.welcomed) pause_s = kFirstPauseS;
      const double wait_s = std::max(ending.retry_after_s, std::uniform_real_distribution<>(0, pause_s)(random));
      pause_s = std::min(2 * pause_s, longest_s);
      changed_.wait_for(lock, std::chrono::duration<double>(wait_s), [this] { return closing_; });
    }
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  bridge::v1::Hello hello() {
    const std::lock_guard lock(mutex_);
    bridge::v1::Hello hello;
    hello.set_protocol_min(kProtocolVersion);
    hello.set_protocol_max(kProtocolVersion);
    hello.set_role(bridge::v1::ROLE_SCENE);
    hello.set_scene_id(settings_.scene_id);
    for (const auto provision : settings_.provides) hello.add_provides(provision);
    hello.set_engine(settings_.engine);
    hello.set_engine_version(settings_.engine_version);
    hello.set_frame(bridge::v1::FRAME_ENU);
    for (const auto& codec : settings_.camera_codecs) hello.mutable_capabilities()->add_camera_codecs(codec);
    for (const auto& name : settings_.archetypes) hello.mutable_capabilities()->add_archetypes(name);
    hello.set_token(settings_.token);
    hello.set_epoch(settings_.epoch);
    hello.set_takeover(settings_.takeover && welcome_.session_id().empty());
    if (!welcome_.resume_token().empty()) {
      hello.mutable_resume()->set_session_id(welcome_.session_id());
      hello.mutable_resume()->set_resume_token(welcome_.resume_token());
      hello.mutable_resume()->set_last_seq(receipts_.done());
    }
    return hello;
  }

  void welcomed(const ConnectResponse& response) override {
    std::unique_lock lock(mutex_);
    const bridge::v1::Welcome& welcome = response.welcome();
    ++statistics_.connections;
    if (welcome.resumed()) {
      ++statistics_.resumed;
      receipts_.resume();
      if (!outbox_.resume(response.ack(), welcome.lossless_window())) {
        throw RuleBroken("the twin acknowledged a message that was never sent");
      }
    } else {
      receipts_.begin();
      outbox_.begin(welcome.lossless_window());
      growing_.forget_partial();
      desired_.clear();
    }
    outbox_.grant(bridge::v1::CHANNEL_TELEMETRY, welcome.telemetry_credits());
    welcome_ = welcome;
    standing_.stream_began();
    lock.unlock();
    if (welcome.resumed()) started();
  }

  // The inventory and the configuration are here, or the session went on.
  void started() {
    standing_.scene_started();
    std::unique_lock lock(mutex_);
    ready_ = true;
    const auto welcome = welcome_;
    const auto inventory = inventory_;
    lock.unlock();
    if (handlers_.on_start) handlers_.on_start(welcome, *inventory);
    lock.lock();
    started_ = true;  // who waits for it may rely on what the handler did
    changed_.notify_all();
  }

  // Reading.

  void told(const ConnectResponse& response) override {
    if (response.seq() != 0) {
      switch (receipts_.arrived(response.seq())) {
        case Receipts::Verdict::gap:
          throw RuleBroken("the lossless messages of the twin have a gap before " + std::to_string(response.seq()));
        case Receipts::Verdict::repeated:
          outbox_.acknowledge(receipts_.done());
          return;
        case Receipts::Verdict::fresh:
          break;
      }
    }
    if (!dealt_with(response)) return;
    if (response.seq() != 0) outbox_.acknowledge(receipts_.done(response.seq(), receipts_.life()));
  }

  // Returns false for an order, which is dealt with only when it was obeyed.
  bool dealt_with(const ConnectResponse& response) {
    switch (response.body_case()) {
      case ConnectResponse::kTopologySnapshot:
        if (growing_.take(response.topology_snapshot())) publish_inventory();
        return true;
      case ConnectResponse::kTopologyDelta:
        if (growing_.take(response.topology_delta())) {
          publish_inventory();
        } else {
          bridge::v1::ConnectRequest request;
          request.mutable_topology_request()->set_have_revision(growing_.revision());
          outbox_.control(std::move(request));
        }
        return true;
      case ConnectResponse::kDesiredConfiguration:
        for (const auto& attribute : response.desired_configuration().attributes()) desired_.push_back(attribute);
        if (response.desired_configuration().last()) {
          if (handlers_.on_desired) handlers_.on_desired(desired_);
          desired_.clear();
          if (!connected()) started();
        }
        return true;
      case ConnectResponse::kCommand:
        take_order({response.seq(), receipts_.life(), response.command()});
        return false;
      case ConnectResponse::kCameraRequest:
        take_order({response.seq(), receipts_.life(), response.camera_request()});
        return false;
      case ConnectResponse::kStateRequest:
        refuse_state(response.state_request().request_id());
        return true;
      case ConnectResponse::kTelemetry:
        if (handlers_.on_telemetry) handlers_.on_telemetry(response.telemetry());
        standing_.taken(bridge::v1::CHANNEL_TELEMETRY);
        return true;
      case ConnectResponse::BODY_NOT_SET:
        if (!response.GetReflection()->GetUnknownFields(response).empty()) {
          const std::lock_guard lock(mutex_);
          ++statistics_.unknown_bodies;
        }
        return true;
      default:
        if (handlers_.on_news) handlers_.on_news(response);
        if (response.has_presence_list()) standing_.taken(bridge::v1::CHANNEL_PRESENCE);
        if (response.has_camera_frame() && response.camera_frame().last()) standing_.taken(bridge::v1::CHANNEL_CAMERA);
        if (response.has_voice_chunk()) standing_.taken(bridge::v1::CHANNEL_VOICE);
        return true;
    }
  }

  void publish_inventory() {
    auto whole = std::make_shared<const Inventory>(growing_);
    {
      const std::lock_guard lock(mutex_);
      inventory_ = whole;
    }
    if (handlers_.on_inventory) handlers_.on_inventory(*whole);
  }

  void measured(double round_trip_s, double clock_offset_s) override {
    const std::lock_guard lock(mutex_);
    statistics_.round_trip_s = round_trip_s;
    statistics_.clock_offset_s = clock_offset_s;
  }

  void refuse_state(const std::string& request_id) {
    bridge::v1::ConnectRequest request;
    request.mutable_state_chunk()->set_request_id(request_id);
    request.mutable_state_chunk()->set_reason("this scene keeps no state that could be handed out");
    request.mutable_state_chunk()->set_last(true);
    outbox_.control(std::move(request));
  }

  Obeyer::Situation situation() const {
    const std::lock_guard lock(mutex_);
    return {inventory_->revision(), welcome_.fencing_number()};
  }
  void take_order(Obeyer::Order order) {
    if (!obeyer_.take(std::move(order))) throw RuleBroken("the scene obeys too slowly: too many orders wait");
  }

  const Settings settings_;
  const Handlers handlers_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  Outbox outbox_;
  Standing standing_;
  Receipts receipts_;
  Inventory growing_;                     // of the reading thread
  std::vector<EntityAttribute> desired_;  // of the reading thread
  std::atomic<std::uint64_t> telemetry_number_{0};
  std::atomic<std::uint64_t> pm_number_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Connection* connection_ = nullptr;
  bool ready_ = false;
  bool started_ = false;
  bool closing_ = false;
  bool over_ = false;
  std::optional<Failure> failure_;
  bridge::v1::Welcome welcome_;
  Statistics statistics_{0, 0, 0, 0, 0, std::nan(""), std::nan("")};
  std::shared_ptr<const Inventory> inventory_ = std::make_shared<const Inventory>();
  Obeyer obeyer_;  // after everything that it uses
  std::thread runner_;
};

SceneClient::SceneClient(Settings settings, Handlers handlers)
    : life_(std::make_unique<Life>(std::move(settings), std::move(handlers))) {}
SceneClient::~SceneClient() = default;

bool SceneClient::wait_ready(std::chrono::milliseconds timeout) { return life_->wait_ready(timeout); }
void SceneClient::close(const std::string& reason) { life_->close(reason); }
bool SceneClient::connected() const { return life_->connected(); }
std::optional<Failure> SceneClient::failure() const { return life_->failure(); }
bridge::v1::Welcome SceneClient::welcome() const { return life_->welcome(); }
double SceneClient::first_sim_time_s() const {
  const bridge::v1::Welcome welcome = life_->welcome();
  const double remembered_s = welcome.has_resume_time() ? welcome.resume_at_sim_s() : 0.0;
  const double now_s = static_cast<double>(wall_clock_ns()) / 1e9 - unix_s_of(welcome.sim_epoch());
  return now_s > remembered_s ? now_s : remembered_s;  // an epoch that cannot be read makes now NaN
}
std::shared_ptr<const Inventory> SceneClient::inventory() const { return life_->inventory(); }
Statistics SceneClient::statistics() const { return life_->statistics(); }
void SceneClient::send_telemetry(bridge::v1::Telemetry batch) { life_->send_telemetry(std::move(batch)); }
bool SceneClient::send_pm(bridge::v1::PmReport report, std::chrono::milliseconds timeout) {
  return life_->send_pm(std::move(report), timeout);
}
void SceneClient::send_observed(const std::vector<EntityAttribute>& attributes) {
  life_->standing().observe(attributes);
}
void SceneClient::send_live(double sim_time_s) { life_->standing().live(sim_time_s); }
bool SceneClient::send_event(bridge::v1::Event event, std::chrono::milliseconds timeout) {
  bridge::v1::ConnectRequest request;
  *request.mutable_event() = std::move(event);
  return life_->send_lossless(std::move(request), timeout);
}
bool SceneClient::send_alarm(bridge::v1::Alarm alarm, std::chrono::milliseconds timeout) {
  bridge::v1::ConnectRequest request;
  *request.mutable_alarm() = std::move(alarm);
  return life_->send_lossless(std::move(request), timeout);
}
void SceneClient::send_presence(bridge::v1::Presence presence) { life_->standing().presence(std::move(presence)); }
void SceneClient::subscribe(bridge::v1::Subscribe wanted) { life_->standing().subscribe(std::move(wanted)); }
bool SceneClient::drained(std::chrono::milliseconds timeout) { return life_->drained(timeout); }

}  // namespace twin6g
