// The example of a scene in C++: walks phones, sends figures, counters and pictures, obeys, and prints JSON lines.
//
//   scene_main [--address HOST:PORT] [--scene ID] [--token TOKEN] [--ca FILE] [--record FILE] [--provide-kpi]
//              [--subscribe] [--takeover] [--lasts SECONDS]
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

#include "small_world.hpp"
#include "twin6g/scene_client.hpp"

namespace {

volatile std::sig_atomic_t interrupted = 0;

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// One JSON object on one line; values are JSON already.
void print(const std::string& event, const std::vector<std::pair<std::string, std::string>>& facts) {
  static std::mutex mutex;
  std::ostringstream line;
  line << "{\"event\": " << quoted(event);
  for (const auto& [name, value] : facts) line << ", " << quoted(name) << ": " << value;
  line << "}";
  const std::lock_guard lock(mutex);
  std::cout << line.str() << std::endl;
}

struct Options {
  twin6g::Settings settings;
  bool subscribe = false;
  double lasts_s = std::numeric_limits<double>::infinity();
};

Options read(int count, char** words) {
  Options options;
  options.settings.camera_codecs = {"raw"};
  std::map<std::string, std::string*> texts{{"--address", &options.settings.address},
                                            {"--scene", &options.settings.scene_id},
                                            {"--token", &options.settings.token},
                                            {"--ca", &options.settings.ca_file},
                                            {"--record", &options.settings.record_file}};
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto next = [&]() -> std::string {
      if (++i >= count) throw std::invalid_argument("`" + word + "` needs a value");
      return words[i];
    };
    if (const auto text = texts.find(word); text != texts.end()) {
      *text->second = next();
    } else if (word == "--lasts") {
      options.lasts_s = std::stod(next());
    } else if (word == "--provide-kpi") {
      options.settings.provides.push_back(bridge::v1::PROVISION_KPI);
    } else if (word == "--subscribe") {
      options.subscribe = true;
    } else if (word == "--takeover") {
      options.settings.takeover = true;
    } else {
      throw std::invalid_argument("`" + word + "` is no option of this program; see the top of scene_main.cpp");
    }
  }
  return options;
}

twin6g::Outcome obey(SmallWorld& world, const twin6g::Command& command) {
  twin6g::Outcome outcome{bridge::v1::COMMAND_STAGE_REJECTED, {}, "this scene sets attributes and shows overlays"};
  if (command.has_set_attributes()) outcome = world.set(command.set_attributes(), command.dry_run());
  if (command.has_overlay()) outcome = {};  // the line printed below is all that this scene can show
  print("command", {{"id", quoted(command.id())},
                    {"dry_run", command.dry_run() ? "true" : "false"},
                    {"stage", quoted(bridge::v1::CommandStage_Name(outcome.stage))},
                    {"reason", quoted(outcome.reason)}});
  return outcome;
}

int run(const Options& options) {
  SmallWorld world;
  std::atomic<double> rate_hz{10.0};
  std::atomic<std::uint64_t> figures{0};
  const auto& provides = options.settings.provides;
  const bool counts = std::count(provides.begin(), provides.end(), bridge::v1::PROVISION_KPI) > 0;
  twin6g::Handlers handlers;
  handlers.on_start = [&](const bridge::v1::Welcome& welcome, const twin6g::Inventory& inventory) {
    if (welcome.telemetry_rate_hz() > 0) rate_hz = welcome.telemetry_rate_hz();
    print("start", {{"session", quoted(welcome.session_id())},
                    {"resumed", welcome.resumed() ? "true" : "false"},
                    {"revision", std::to_string(inventory.revision())},
                    {"entities", std::to_string(inventory.size())},
                    {"fencing_number", std::to_string(welcome.fencing_number())}});
  };
  handlers.on_inventory = [&](const twin6g::Inventory& inventory) { world.settle(inventory); };
  handlers.on_desired = [&](const std::vector<twin6g::EntityAttribute>& desired) {
    print("desired", {{"attributes", std::to_string(desired.size())}});
  };
  handlers.on_command = [&](const twin6g::Command& command) { return obey(world, command); };
  handlers.on_unrecorded = [](const std::string& id, const std::string& reason) {
    print("unrecorded", {{"id", quoted(id)}, {"reason", quoted(reason)}});
  };
  handlers.on_camera = [&](const bridge::v1::CameraRequest& wanted) {
    return world.plan(wanted.width(), wanted.height());
  };
  handlers.on_telemetry = [&](const bridge::v1::Telemetry& batch) {
    if (figures++ == 0) {
      print("figures", {{"scene", quoted(batch.scene_id())},
                        {"entities", std::to_string(batch.entity_index_size())},
                        {"kpis", std::to_string(batch.kpis_size())}});
    }
  };
  handlers.on_news = [&](const bridge::v1::ConnectResponse& news) {
    if (news.has_notice()) print("notice", {{"message", quoted(news.notice().message())}});
    if (news.has_alarm()) print("alarm", {{"id", quoted(news.alarm().id())}});
  };
  handlers.on_lost = [](const std::string& reason) { print("lost", {{"reason", quoted(reason)}}); };

  twin6g::SceneClient scene(options.settings, handlers);
  if (!scene.wait_ready(std::chrono::seconds(30))) {
    const auto failure = scene.failure();
    print("refused", {{"code", quoted(failure ? bridge::v1::RefusalCode_Name(failure->code) : "")},
                      {"reason", quoted(failure ? failure->message : "no twin answered within 30 s")}});
    return 1;
  }
  if (options.subscribe) {
    bridge::v1::Subscribe wanted;
    wanted.add_channels(bridge::v1::CHANNEL_TELEMETRY);
    wanted.add_channels(bridge::v1::CHANNEL_ALARMS);
    scene.subscribe(std::move(wanted));
  }
  const double begin_s = std::ceil(scene.first_sim_time_s());
  if (counts) scene.send_observed(world.configuration());
  scene.send_live(begin_s);

  const auto started = std::chrono::steady_clock::now();
  double told_s = begin_s;
  for (;;) {
    const double lasted_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    if (interrupted != 0 || lasted_s >= options.lasts_s || scene.failure()) break;
    const double now_s = begin_s + lasted_s;
    world.walk_to(now_s);
    scene.send_telemetry(world.telemetry(now_s, counts));
    while (counts && told_s + 1 <= now_s) {
      told_s += 1;
      if (!scene.send_pm(world.report(told_s), std::chrono::seconds(1))) {
        print("buffer_full", {{"period_end_s", std::to_string(told_s)}});
        return 1;  // a lost report would be a lie; better to end where everybody sees it
      }
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(1.0 / rate_hz));
  }
  const bool stored = scene.drained(std::chrono::seconds(3));
  const auto statistics = scene.statistics();
  scene.close("the example ends");
  print("end", {{"stored", stored ? "true" : "false"},
                {"connections", std::to_string(statistics.connections)},
                {"resumed", std::to_string(statistics.resumed)},
                {"telemetry_dropped", std::to_string(statistics.telemetry_dropped)},
                {"figures", std::to_string(figures)},
                {"failure", scene.failure() ? quoted(scene.failure()->message) : "null"}});
  return scene.failure() ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  try {
    return run(read(count, words));
  } catch (const std::exception& error) {
    print("error", {{"reason", quoted(error.what())}});
    return 2;
  }
}
