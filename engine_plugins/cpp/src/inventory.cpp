#include "twin6g/inventory.hpp"

namespace twin6g {

const Entity* Inventory::find(const std::string& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

const Entity* Inventory::at(std::uint32_t index) const {
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? nullptr : found->second.get();
}

std::vector<const Entity*> Inventory::of_kind(const std::string& kind) const {
  std::vector<const Entity*> rows;
  for (const auto& [index, row] : by_index_) {
    if (row->kind() == kind) rows.push_back(row.get());
  }
  return rows;
}

bool Inventory::take(const bridge::v1::TopologySnapshot& chunk) {
  for (const Entity& entity : chunk.entities()) partial_.push_back(std::make_shared<const Entity>(entity));
  if (!chunk.last()) return false;
  by_index_.clear();
  by_id_.clear();
  for (Row& row : partial_) put(std::move(row));
  partial_.clear();
  revision_ = chunk.revision();
  return true;
}

bool Inventory::take(const bridge::v1::TopologyDelta& delta) {
  if (delta.base_revision() != revision_) return false;
  for (const std::uint32_t index : delta.remove()) {
    const auto gone = by_index_.find(index);
    if (gone == by_index_.end()) continue;
    by_id_.erase(gone->second->id());
    by_index_.erase(gone);
  }
  for (const Entity& entity : delta.upsert()) put(std::make_shared<const Entity>(entity));
  revision_ = delta.revision();
  return true;
}

void Inventory::put(Row row) {
  const auto older = by_index_.find(row->index());
  if (older != by_index_.end()) by_id_.erase(older->second->id());
  by_id_[row->id()] = row;
  by_index_[row->index()] = std::move(row);
}

}  // namespace twin6g
