// A world of its own for the example: phones walk in circles around where the inventory has them, every cell counts the
// phones that hear it best, three attributes of a cell can be changed, and a camera looks straight down.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "twin6g/scene_client.hpp"

class SmallWorld {
 public:
  static constexpr double kRadiusM = 20.0;
  static constexpr double kWalkMps = 1.4;

  // Takes the inventory; what was set here before stays set.
  void settle(const twin6g::Inventory& inventory) {
    const std::lock_guard lock(mutex_);
    revision_ = inventory.revision();
    phones_.clear();
    for (const auto* entity : inventory.of_kind("ue")) phones_.push_back(place_of(*entity));
    std::vector<Cell> cells;
    for (const auto* entity : inventory.of_kind("cell")) {
      const Cell* known = find(entity->id());
      Cell cell{place_of(*entity), entity->id(), property(*entity, "carrier_hz", 3.5e9), {}};
      if (known != nullptr) cell.attributes = known->attributes;
      for (const auto& [name, value] : entity->attributes()) cell.attributes.emplace(name, value);
      cells.push_back(std::move(cell));
    }
    cells_ = std::move(cells);
  }

  void walk_to(double sim_time_s) {
    const std::lock_guard lock(mutex_);
    const double angle = sim_time_s * kWalkMps / kRadiusM;
    for (Place& phone : phones_) {
      phone.east_m = phone.home_east_m + kRadiusM * std::cos(angle);
      phone.north_m = phone.home_north_m + kRadiusM * std::sin(angle);
    }
  }

  bridge::v1::Telemetry telemetry(double sim_time_s, bool with_rsrp) const {
    const std::lock_guard lock(mutex_);
    bridge::v1::Telemetry batch;
    batch.set_revision(revision_);
    batch.set_sim_time_s(sim_time_s);
    batch.set_keyframe(true);
    if (with_rsrp) batch.add_kpis("RF.serving.RSRP");
    for (const Place& phone : phones_) {
      batch.add_entity_index(phone.index);
      batch.add_position_m(static_cast<float>(phone.east_m));
      batch.add_position_m(static_cast<float>(phone.north_m));
      batch.add_position_m(static_cast<float>(phone.up_m));
      if (with_rsrp) batch.add_values(static_cast<float>(best(phone).second));
    }
    return batch;
  }

  bridge::v1::PmReport report(double period_end_s) const {
    const std::lock_guard lock(mutex_);
    std::vector<float> connected(cells_.size(), 0.0F);
    for (const Place& phone : phones_) {
      const int cell = best(phone).first;
      if (cell >= 0) connected[static_cast<std::size_t>(cell)] += 1.0F;
    }
    bridge::v1::PmReport report;
    report.set_revision(revision_);
    report.set_granularity_period_s(1);
    report.set_period_end_sim_time_s(period_end_s);
    report.add_counters("RRC.ConnMean");
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      report.add_entity_index(cells_[i].place.index);
      report.add_values(connected[i]);
    }
    return report;
  }

  std::vector<twin6g::EntityAttribute> configuration() const {
    const std::lock_guard lock(mutex_);
    std::vector<twin6g::EntityAttribute> all;
    for (const Cell& cell : cells_) {
      for (const auto& [name, value] : cell.attributes) all.push_back(attribute(cell.id, name, value));
    }
    return all;
  }

  // The plan from above, north up: cells as large orange squares, phones as small green ones on black.
  twin6g::Picture plan(std::uint32_t width, std::uint32_t height) const {
    const std::lock_guard lock(mutex_);
    twin6g::Picture picture;
    picture.codec = bridge::v1::IMAGE_CODEC_RAW_RGB;
    picture.width = width != 0 ? width : 320;
    picture.height = height != 0 ? height : 240;
    if (picture.width > kMostPixels || picture.height > kMostPixels) {
      picture.reason = "a plan has at most " + std::to_string(kMostPixels) + " pixels on a side";
      return picture;
    }
    picture.bytes.assign(std::size_t{3} * picture.width * picture.height, '\0');
    double reach_m = 1.0;
    for (const Place& phone : phones_) reach_m = std::max({reach_m, std::abs(phone.east_m), std::abs(phone.north_m)});
    for (const Cell& cell : cells_) {
      reach_m = std::max({reach_m, std::abs(cell.place.east_m), std::abs(cell.place.north_m)});
    }
    const double metres_per_pixel = 2.2 * reach_m / std::min(picture.width, picture.height);
    for (const Cell& cell : cells_) dot(picture, cell.place, metres_per_pixel, 3, {'\xff', '\x8c', '\0'});
    for (const Place& phone : phones_) dot(picture, phone, metres_per_pixel, 1, {'\0', '\xff', '\x40'});
    return picture;
  }

  // Sets all or none, and returns what is read back.
  twin6g::Outcome set(const bridge::v1::SetAttributes& order, bool dry_run) {
    const std::lock_guard lock(mutex_);
    for (const auto& action : order.actions()) {
      const std::string wrong = objection(action);
      if (!wrong.empty()) return {bridge::v1::COMMAND_STAGE_REJECTED, {}, wrong};
    }
    twin6g::Outcome outcome;
    for (const auto& action : order.actions()) {
      if (dry_run) {
        outcome.observed.push_back(action);
        continue;
      }
      Cell& cell = *find(action.entity_id());
      cell.attributes[action.attribute()] = action.value();
      outcome.observed.push_back(attribute(cell.id, action.attribute(), cell.attributes[action.attribute()]));
    }
    return outcome;
  }

 private:
  using Value = bridge::v1::AttributeValue;
  struct Place {
    std::uint32_t index;
    double home_east_m, home_north_m, up_m, east_m, north_m;
  };
  struct Cell {
    Place place;
    std::string id;
    double carrier_hz;
    std::map<std::string, Value> attributes;
  };

  static Place place_of(const twin6g::Entity& entity) {
    const auto& at = entity.position();
    return {entity.index(), at.east_m(), at.north_m(), at.up_m(), at.east_m(), at.north_m()};
  }
  static double property(const twin6g::Entity& entity, const std::string& name, double otherwise) {
    const auto found = entity.properties().find(name);
    return found == entity.properties().end() ? otherwise : found->second.number();
  }
  static twin6g::EntityAttribute attribute(const std::string& id, const std::string& name, const Value& value) {
    twin6g::EntityAttribute row;
    row.set_entity_id(id);
    row.set_attribute(name);
    *row.mutable_value() = value;
    return row;
  }

  static constexpr std::uint32_t kMostPixels = 2048;

  static void dot(twin6g::Picture& picture, const Place& place, double metres_per_pixel, int reach,
                  const std::array<char, 3>& colour) {
    const int column = static_cast<int>(std::lround(picture.width / 2.0 + place.east_m / metres_per_pixel));
    const int row = static_cast<int>(std::lround(picture.height / 2.0 - place.north_m / metres_per_pixel));
    const int bottom = std::min(row + reach, static_cast<int>(picture.height) - 1);
    const int right = std::min(column + reach, static_cast<int>(picture.width) - 1);
    for (int y = std::max(row - reach, 0); y <= bottom; ++y) {
      for (int x = std::max(column - reach, 0); x <= right; ++x) {
        const std::size_t at = 3 * (static_cast<std::size_t>(y) * picture.width + static_cast<std::size_t>(x));
        std::copy(colour.begin(), colour.end(), picture.bytes.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }

  Cell* find(const std::string& id) {
    for (Cell& cell : cells_) {
      if (cell.id == id) return &cell;
    }
    return nullptr;
  }

  // Ranges of TS 28.541: tilt in 0.1 degree, power in mW.
  std::string objection(const twin6g::EntityAttribute& action) {
    const std::string& name = action.attribute();
    if (find(action.entity_id()) == nullptr) return "no cell has the id `" + action.entity_id() + "`";
    if (name == "administrativeState") {
      const std::string& text = action.value().text();
      return text == "LOCKED" || text == "UNLOCKED" ? "" : "`" + name + "` is LOCKED or UNLOCKED, not `" + text + "`";
    }
    const double number = action.value().number();
    if (!action.value().has_number() || !std::isfinite(number)) return "`" + name + "` needs a number";
    if (name == "digitalTilt") return std::abs(number) <= 900 ? "" : "`digitalTilt` lies in -900..900";
    if (name == "configuredMaxTxPower") {
      return number >= 0 && number <= 200'000 ? "" : "`configuredMaxTxPower` lies in 0..200000";
    }
    return "this scene has no attribute `" + name + "`";
  }

  // The cell heard best (-1: none) and its power per resource element in dBm: free-space loss (ITU-R P.525) between
  // isotropic antennas, the carrier's power spread over 3276 subcarriers (273 resource blocks, TS 38.101-1).
  std::pair<int, double> best(const Place& phone) const {
    std::pair<int, double> found{-1, std::numeric_limits<double>::quiet_NaN()};
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const Cell& cell = cells_[i];
      const auto state = cell.attributes.find("administrativeState");
      const auto power = cell.attributes.find("configuredMaxTxPower");
      if (power == cell.attributes.end() || power->second.number() <= 0) continue;
      if (state != cell.attributes.end() && state->second.text() == "LOCKED") continue;
      const double distance_m = std::hypot(phone.east_m - cell.place.east_m, phone.north_m - cell.place.north_m,
                                           phone.up_m - cell.place.up_m);
      constexpr double kPi = 3.14159265358979323846;
      const double loss_db =
          20 * std::log10(4 * kPi * std::max(distance_m, 1.0) * cell.carrier_hz / 299'792'458.0);
      const double rsrp_dbm = 10 * std::log10(power->second.number() / 3276.0) - loss_db;
      if (found.first < 0 || rsrp_dbm > found.second) found = {static_cast<int>(i), rsrp_dbm};
    }
    return found;
  }

  mutable std::mutex mutex_;
  std::uint64_t revision_ = 0;
  std::vector<Place> phones_;
  std::vector<Cell> cells_;
};
