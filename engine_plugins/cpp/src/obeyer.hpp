// Obeys the twin's orders one after the other on a thread of its own, and answers each as often as it comes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "command_record.hpp"
#include "outbox.hpp"
#include "receipts.hpp"
#include "twin6g/scene_client.hpp"

namespace twin6g {

class Obeyer {
 public:
  // What an order is checked against.
  struct Situation {
    std::uint64_t revision = 0;
    std::uint64_t fencing_number = 0;
  };
  struct Order {
    std::uint64_t seq;   // 0: not lossless
    std::uint64_t life;  // of the receipts that `seq` belongs to
    std::variant<Command, bridge::v1::CameraRequest> what;
  };

  // `applied` hears what is read back after each command that changed something.
  Obeyer(const Handlers& handlers, const std::string& record_file, Outbox& outbox, Receipts& receipts,
         std::function<Situation()> situation, std::function<void(const std::vector<EntityAttribute>&)> applied);
  // Ends after the order that is being obeyed; those that wait are obeyed too, unless an answer cannot be recorded.
  ~Obeyer();
  Obeyer(const Obeyer&) = delete;
  Obeyer& operator=(const Obeyer&) = delete;

  // False: too many wait.
  bool take(Order order);

 private:
  void work();
  // False: the scene ends with an answer that could not be recorded; nothing more may be obeyed.
  bool obey(const Command& command);
  // Tries until the disk takes the answer: after the effect FAILED would be a lie, and APPLIED a promise that a kill
  // breaks. False: the scene ends.
  bool keep(const CommandAck& ack);
  Outcome outcome_of(const Command& command, const Situation& now);
  void answer(const CommandAck& ack);
  void take_picture(const bridge::v1::CameraRequest& wanted);

  const Handlers& handlers_;
  CommandRecord record_;
  Outbox& outbox_;
  Receipts& receipts_;
  const std::function<Situation()> situation_;
  const std::function<void(const std::vector<EntityAttribute>&)> applied_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::deque<Order> orders_;
  std::thread worker_;
};

}  // namespace twin6g
