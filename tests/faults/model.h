// What a client knows of its pods and containers: what the runtime has acknowledged, and what it has asked for without
// having got an answer.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "tests/cri_client/requests.h"

namespace faults {

namespace v1 = runtime::v1;

struct ContainerModel {
  enum class Kind {
    kIdle,      // sleeps
    kWriter,    // writes numbered lines without end
    kTerminal,  // the same on a terminal
    kCounted,   // writes `lines` numbered lines and ends with `exit_code`
    kQuick,     // ends with `exit_code` at once
    kBroken,    // cannot be started
  };
  enum class State { kAsked, kCreated, kStarted, kStopped, kGone };

  Kind kind = Kind::kIdle;
  State state = State::kAsked;
  std::string id;  // once acknowledged
  v1::ContainerConfig config;
  std::string folder;  // on the node; its /v
  std::string log;     // path of the log file
  int lines = 0;
  int exit_code = 0;
  int rotations = 0;          // logs that were renamed: <log>.1, <log>.2, …
  bool stop_asked = false;    // it may have been killed
  bool start_unsure = false;  // its start failed with its pod: it may have run or not
  bool removal_asked = false;
};

struct PodModel {
  enum class State { kAsked, kReady, kStopped, kGone };

  State state = State::kAsked;
  std::string id;  // once acknowledged
  v1::PodSandboxConfig config;
  bool networked = true;
  bool stop_asked = false;
  bool removal_asked = false;
  bool lost = false;  // its machine was killed
  std::list<ContainerModel> containers;
};

// Files of a pod or container on the node lie below it.
inline constexpr char kFolder[] = "/var/lib/faults";

}  // namespace faults
