// Sends spans to a collector of traces by the OpenTelemetry protocol over gRPC (configuration: tracing.endpoint).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/trace.h"
#include "proto/trace_service.grpc.pb.h"

namespace cri {

// Spans are collected for a second, or until there are many, and sent by a thread of its own, which sleeps without a
// timeout while there are none. When the collector does not keep up or is away, spans are dropped and the log says so
// once; the daemon never waits for it.
class TraceExport final : public base::TraceExporter {
 public:
  // `endpoint` is a target of gRPC, without TLS: "127.0.0.1:4317", "unix:///run/collector.sock". From now on it gets
  // the spans of this process, see base::SetTraceExporter().
  TraceExport(const std::string& endpoint, uint32_t sampled_per_million);
  // Sends what is left, for at most a second. To be called when no other thread is in a span any more.
  ~TraceExport() override;

  void Export(base::TraceEvent event) override;

 private:
  struct Entry {
    base::TraceEvent event;
    int64_t begin;  // nanoseconds since 1970
  };

  void Run();
  void Send(std::vector<Entry> entries, uint64_t dropped, bool last);

  const std::unique_ptr<opentelemetry::proto::collector::trace::v1::TraceService::Stub> collector_;
  const std::string host_;
  bool failing_ = false;  // only of the thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> queue_;
  uint64_t dropped_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace cri
