// Reads orders from standard input, one a line, and answers each with one line; the Python test asks and judges.
//
//   frame MESSAGE HEX      -> ok HEX (decoded and encoded again) | fault NAME
//   build NAME             -> ok HEX (made from nothing)
//   point|rotation|back_point|back_rotation AXES NUMBERS...  -> ok NUMBERS...
//   yaw DEG | azimuth DEG | view AZIMUTH DOWNTILT            -> ok NUMBERS...
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "twin6g/bridge_v1.hpp"
#include "twin6g/frames.hpp"

namespace wire = twin6g::wire;

namespace {

std::string to_hex(const std::string& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string hex;
  for (const char byte : bytes) {
    hex += digits[(byte >> 4) & 15];
    hex += digits[byte & 15];
  }
  return hex;
}

std::string from_hex(const std::string& hex) {
  const auto nibble = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(nibble(hex[i]) << 4 | nibble(hex[i + 1]));
  return bytes;
}

const char* name_of(wire::Fault fault) {
  switch (fault) {
    case wire::Fault::None: return "None";
    case wire::Fault::Truncated: return "Truncated";
    case wire::Fault::Malformed: return "Malformed";
    case wire::Fault::TooDeep: return "TooDeep";
    case wire::Fault::TooLarge: return "TooLarge";
    case wire::Fault::BadText: return "BadText";
  }
  return "?";
}

template <class M>
std::string again(const std::string& bytes) {
  // A copy of exactly this size, so that a read past the end is found by the sanitizers.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  M message;
  const wire::Fault fault = wire::parse(exact.data(), exact.size(), message);
  return fault == wire::Fault::None ? "ok " + to_hex(wire::serialize(message)) : std::string("fault ") + name_of(fault);
}

std::string frame(const std::string& message, const std::string& bytes) {
  if (message == "ConnectRequest") return again<wire::ConnectRequest>(bytes);
  if (message == "ConnectResponse") return again<wire::ConnectResponse>(bytes);
  if (message == "GetTopologyRequest") return again<wire::GetTopologyRequest>(bytes);
  if (message == "GetTopologyResponse") return again<wire::GetTopologyResponse>(bytes);
  if (message == "SubmitCommandRequest") return again<wire::SubmitCommandRequest>(bytes);
  if (message == "SubmitCommandResponse") return again<wire::SubmitCommandResponse>(bytes);
  if (message == "GetHealthRequest") return again<wire::GetHealthRequest>(bytes);
  if (message == "GetHealthResponse") return again<wire::GetHealthResponse>(bytes);
  std::exit(2);
}

wire::EntityAttribute attribute(const std::string& name) {
  wire::EntityAttribute made;
  made.entity_id = "cell-7-2";
  made.attribute = name;
  return made;
}

std::string build(const std::string& name) {
  wire::ConnectRequest request;
  if (name == "life.hello") {
    wire::Hello& hello = request.mutable_hello();
    hello.protocol_min = 1;
    hello.protocol_max = 1;
    hello.role = wire::Role::Scene;
    hello.scene_id = "plaza";
    hello.provides = {wire::Provision::Motion, wire::Provision::Kpi};
    hello.engine = "unity";
    hello.frame = wire::Frame::Unity;
    hello.capabilities.emplace();
    hello.capabilities->camera_codecs = {"jpeg"};
    hello.capabilities->max_entities = 5000;
    hello.resume.emplace();
    hello.resume->session_id = "s-1";
    hello.resume->resume_token = "secret";
    hello.resume->last_seq = std::uint64_t{1} << 40;
  } else if (name == "life.telemetry") {
    request.wall_time_unix_ns = 1'795'000'000'000'000'000;
    request.sim_time_s = 30.5;
    wire::Telemetry& telemetry = request.mutable_telemetry();
    telemetry.number = 3;
    telemetry.revision = 2;
    telemetry.sim_time_s = 30.5;
    telemetry.entity_index = {4, 5};
    telemetry.position_m = {1.5f, -2.25f, 0.0f, 100.125f, 7.0f, -0.0f};
    telemetry.kpis = {"L1M.SS-RSRP"};
    telemetry.values = {-84.5f, std::numeric_limits<float>::quiet_NaN()};
    telemetry.keyframe = true;
  } else if (name == "life.voice") {
    wire::VoiceChunk& voice = request.mutable_voice_chunk();
    voice.utterance_id = "u-1";
    voice.sample_rate_hz = 16000;
    for (int i = 0; i < 17000; ++i) voice.pcm_int16.push_back(static_cast<std::uint8_t>(i % 251));
    voice.number = 1;
  } else if (name == "life.applied") {
    request.seq = 9;
    request.ack = 4;
    wire::CommandAck& ack = request.mutable_command_ack();
    ack.command_id = "0198c0de-0000-7000-8000-000000000001";
    ack.stage = wire::CommandStage::Applied;
    ack.sim_time_s = 31.0;
    ack.observed = {attribute("digitalTilt"), attribute("administrativeState"), attribute("cellIndividualOffset")};
    ack.observed[0].value.emplace().mutable_number() = 60.0;
    ack.observed[1].value.emplace().mutable_text() = "UNLOCKED";
  } else if (name == "life.topology") {
    wire::ConnectResponse response;
    response.seq = 1;
    wire::TopologySnapshot& snapshot = response.mutable_topology_snapshot();
    snapshot.revision = 2;
    snapshot.total = 1;
    snapshot.last = true;
    wire::Entity& entity = snapshot.entities.emplace_back();
    entity.index = 4;
    entity.id = "ue-4";
    entity.kind = "ue";
    entity.position.emplace();
    entity.position->east_m = 1.5f;
    entity.position->north_m = -2.25f;
    entity.attributes["b"].mutable_number() = -0.0;
    entity.attributes["a"];
    return to_hex(wire::serialize(response));
  } else {
    std::exit(2);
  }
  return to_hex(wire::serialize(request));
}

twin6g::Axes axes_of(const std::string& name) {
  if (name == "unity") return twin6g::Axes::Unity;
  if (name == "unreal") return twin6g::Axes::Unreal;
  if (name == "gltf") return twin6g::Axes::Gltf;
  return twin6g::Axes::Enu;
}

std::string said(std::initializer_list<double> numbers) {
  std::string text = "ok";
  char buffer[40];
  for (const double number : numbers) {
    std::snprintf(buffer, sizeof buffer, " %.17g", number);
    text += buffer;
  }
  return text;
}

std::string said(const twin6g::Vector& v) { return said({v.x, v.y, v.z}); }
std::string said(const twin6g::Rotation& r) { return said({r.x, r.y, r.z, r.w}); }

std::string answer(const std::string& line) {
  std::istringstream words(line);
  std::string order;
  std::string first;
  words >> order >> first;
  if (order == "frame") {
    std::string hex;
    words >> hex;
    return frame(first, from_hex(hex));
  }
  if (order == "build") return "ok " + build(first);
  if (order == "yaw") return said({twin6g::azimuth_to_yaw_deg(std::atof(first.c_str()))});
  if (order == "azimuth") return said({twin6g::yaw_to_azimuth_deg(std::atof(first.c_str()))});
  double a = 0.0;
  double b = 0.0;
  double c = 0.0;
  double d = 0.0;
  words >> a >> b >> c >> d;
  if (order == "view") {
    const twin6g::Rotation view = twin6g::view(std::atof(first.c_str()), a);
    const twin6g::Vector ahead = view.turn({1.0, 0.0, 0.0});
    return said({view.x, view.y, view.z, view.w, ahead.x, ahead.y, ahead.z});
  }
  const twin6g::Axes axes = axes_of(first);
  if (order == "point") return said(twin6g::to_engine(twin6g::Vector{a, b, c}, axes));
  if (order == "back_point") return said(twin6g::to_enu(twin6g::Vector{a, b, c}, axes));
  if (order == "rotation") return said(twin6g::to_engine(twin6g::Rotation{a, b, c, d}, axes));
  if (order == "back_rotation") return said(twin6g::to_enu(twin6g::Rotation{a, b, c, d}, axes));
  std::exit(2);
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << answer(line) << '\n';
  return 0;
}
