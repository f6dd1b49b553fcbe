// What the scene said and means to stay true: told again after every break, so that nobody has to remember it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "outbox.hpp"
#include "twin6g/scene_client.hpp"

namespace twin6g {

class Standing {
 public:
  explicit Standing(Outbox& outbox) : outbox_(outbox) {}

  // Configuration as read back in the scene.
  void observe(const std::vector<EntityAttribute>& attributes);
  // What an order changed; a scene that tells no configuration keeps silent about it.
  void note(const std::vector<EntityAttribute>& attributes);
  void live(double sim_time_s);
  void presence(bridge::v1::Presence presence);
  void subscribe(bridge::v1::Subscribe wanted);
  // A message of a channel that needs our credit was taken.
  void taken(Channel channel);

  // The stream has begun: presence, subscription and the credit of this connection are due.
  void stream_began();
  // The inventory is here, or the session went on: configuration and liveness are due.
  void scene_started();
  void stream_ended();

 private:
  void remember(const std::vector<EntityAttribute>& attributes);
  void tell_observed();
  void tell_live();
  void tell_presence();
  void tell_subscribe();
  void send_credit(Channel channel, std::uint32_t messages);

  Outbox& outbox_;
  std::mutex mutex_;
  bool has_stream_ = false;
  bool live_ = false;
  std::map<std::pair<std::string, std::string>, EntityAttribute> observed_;
  std::optional<bridge::v1::Presence> presence_;
  std::optional<bridge::v1::Subscribe> subscribe_;
  std::map<Channel, std::uint32_t> taken_;
};

}  // namespace twin6g
