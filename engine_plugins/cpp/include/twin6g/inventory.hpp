// What exists in the twin, under which index and revision. The twin owns it; a scene only reads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bridge/v1/topology.pb.h"

namespace twin6g {

using Entity = bridge::v1::Entity;

// One revision of the inventory. Copies share their rows.
class Inventory {
 public:
  std::uint64_t revision() const { return revision_; }
  std::size_t size() const { return by_index_.size(); }
  // The row with this id or index, null when there is none.
  const Entity* find(const std::string& id) const;
  const Entity* at(std::uint32_t index) const;
  // All rows of a kind (`cell`, `ue` ...), in index order.
  std::vector<const Entity*> of_kind(const std::string& kind) const;

  // Takes a chunk of a snapshot; returns whether the snapshot is whole. Until then the revision is the old one.
  bool take(const bridge::v1::TopologySnapshot& chunk);
  // Takes a change; returns false when it builds on another revision than this one, and changes nothing.
  bool take(const bridge::v1::TopologyDelta& delta);
  // Forgets a snapshot of which only the beginning arrived.
  void forget_partial() { partial_.clear(); }

 private:
  using Row = std::shared_ptr<const Entity>;
  void put(Row row);

  std::uint64_t revision_ = 0;
  std::map<std::uint32_t, Row> by_index_;
  std::unordered_map<std::string, Row> by_id_;
  std::vector<Row> partial_;
};

}  // namespace twin6g
