// gRPC's background work, without threads that wake up to find nothing to do.

#pragma once

#include <grpc/event_engine/event_engine.h>

#include <memory>

namespace cri {

// Runs closures and timers on two threads that wait for them alone; gRPC's own engine looks once a second whether it
// has timers. Knows no connections and no names: gRPC 1.51 has other parts for these. Thread-safe. Timers that are
// pending when it is destroyed are dropped; closures that are ready are run.
std::unique_ptr<grpc_event_engine::experimental::EventEngine> MakeEventEngine();

// Starts gRPC with that engine, and lets its thread for deadlines of calls be late by a tenth of a second, so that it
// wakes up less than once a second. To be called once, before anything else of gRPC's, in a process that no longer
// forks.
void StartGrpc();

}  // namespace cri
