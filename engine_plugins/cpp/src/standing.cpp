#include "standing.hpp"

namespace twin6g {
namespace {

// Credit for what was subscribed: given at once, and back in lots of half.
constexpr std::uint32_t kCredit = 16;

bool needs_credit(Channel channel) {
  return channel == bridge::v1::CHANNEL_TELEMETRY || channel == bridge::v1::CHANNEL_PRESENCE ||
         channel == bridge::v1::CHANNEL_CAMERA || channel == bridge::v1::CHANNEL_VOICE;
}

}  // namespace

void Standing::observe(const std::vector<EntityAttribute>& attributes) {
  const std::lock_guard lock(mutex_);
  remember(attributes);
  tell_observed();
}

void Standing::note(const std::vector<EntityAttribute>& attributes) {
  const std::lock_guard lock(mutex_);
  if (!observed_.empty()) remember(attributes);
}

void Standing::live(double sim_time_s) {
  const std::lock_guard lock(mutex_);
  outbox_.set_sim_time_s(sim_time_s);
  live_ = true;
  tell_live();
}

void Standing::presence(bridge::v1::Presence presence) {
  const std::lock_guard lock(mutex_);
  presence_ = std::move(presence);
  if (has_stream_) tell_presence();
}

void Standing::subscribe(bridge::v1::Subscribe wanted) {
  const std::lock_guard lock(mutex_);
  subscribe_ = std::move(wanted);
  if (has_stream_) tell_subscribe();
}

void Standing::taken(Channel channel) {
  const std::lock_guard lock(mutex_);
  if (++taken_[channel] < kCredit / 2) return;
  send_credit(channel, taken_[channel]);
  taken_[channel] = 0;
}

void Standing::stream_began() {
  const std::lock_guard lock(mutex_);
  has_stream_ = true;
  // A resumed session knows them, unless they changed while the stream was broken; the last one counts.
  if (presence_) tell_presence();
  if (subscribe_) tell_subscribe();
}

void Standing::scene_started() {
  const std::lock_guard lock(mutex_);
  if (!observed_.empty()) tell_observed();
  if (live_) tell_live();
}

void Standing::stream_ended() {
  const std::lock_guard lock(mutex_);
  has_stream_ = false;
}

void Standing::remember(const std::vector<EntityAttribute>& attributes) {
  for (const EntityAttribute& attribute : attributes) {
    observed_[{attribute.entity_id(), attribute.attribute()}] = attribute;
  }
}

void Standing::tell_observed() {
  bridge::v1::ConnectRequest request;
  auto* told = request.mutable_observed_configuration();
  told->set_sim_time_s(outbox_.sim_time_s());
  for (const auto& [key, attribute] : observed_) *told->add_attributes() = attribute;
  outbox_.answer(std::move(request));
}

void Standing::tell_live() {
  bridge::v1::ConnectRequest request;
  request.mutable_live_notice()->set_sim_time_s(outbox_.sim_time_s());
  outbox_.answer(std::move(request));
}

void Standing::tell_presence() {
  bridge::v1::ConnectRequest request;
  *request.mutable_presence() = *presence_;
  outbox_.control(std::move(request));
}

void Standing::tell_subscribe() {
  bridge::v1::ConnectRequest request;
  *request.mutable_subscribe() = *subscribe_;
  outbox_.control(std::move(request));
  taken_.clear();
  for (const int number : subscribe_->channels()) {
    const auto channel = static_cast<Channel>(number);
    if (needs_credit(channel)) send_credit(channel, kCredit);
  }
}

void Standing::send_credit(Channel channel, std::uint32_t messages) {
  bridge::v1::ConnectRequest request;
  request.mutable_credit()->set_channel(channel);
  request.mutable_credit()->set_messages(messages);
  outbox_.control(std::move(request));
}

}  // namespace twin6g
