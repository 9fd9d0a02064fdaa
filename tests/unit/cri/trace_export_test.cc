// Spans as a collector gets them, over a real socket.

#include "cri/trace_export.h"

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>

#include "base/clock.h"
#include "served_node.h"

namespace cri {
namespace {

namespace otlp = opentelemetry::proto::collector::trace::v1;

class Collector final : public otlp::TraceService::Service {
 public:
  explicit Collector(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Export(grpc::ServerContext*, const otlp::ExportTraceServiceRequest* in,
                      otlp::ExportTraceServiceResponse*) override {
    const std::lock_guard lock(mutex_);
    for (const otlp::ResourceSpans& resource : in->resource_spans()) {
      resource_ = resource.resource();
      for (const otlp::ScopeSpans& scope : resource.scope_spans()) {
        spans_.insert(spans_.end(), scope.spans().begin(), scope.spans().end());
      }
    }
    changed_.notify_all();
    return grpc::Status::OK;
  }

  // Waits for so many spans.
  std::vector<otlp::Span> Spans(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return spans_.size() >= count; });
    return spans_;
  }
  otlp::Resource Resource() {
    const std::lock_guard lock(mutex_);
    return resource_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<otlp::Span> spans_;
  otlp::Resource resource_;
  std::unique_ptr<grpc::Server> server_;
};

std::string Value(const google::protobuf::RepeatedPtrField<otlp::KeyValue>& attributes, const std::string& key) {
  for (const otlp::KeyValue& attribute : attributes) {
    if (attribute.key() == key) return attribute.value().string_value();
  }
  return "";
}

class TraceExportTest : public ServedNode {
 protected:
  std::string Endpoint() const { return "unix://" + node_.directory.path() + "/collector.sock"; }
};

TEST_F(TraceExportTest, ACallsSpanContinuesTheClientsTrace) {
  Collector collector(Endpoint());
  TraceExport traces(Endpoint(), 0);
  const int64_t before = base::NowNanoseconds();
  const auto context = Context();
  context->AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  v1::VersionResponse version;
  Expect(runtime_->Version(context.get(), {}, &version));
  const auto unknown = Context();
  unknown->AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  v1::StartContainerRequest start;
  start.set_container_id("none");
  v1::StartContainerResponse started;
  EXPECT_EQ(runtime_->StartContainer(unknown.get(), start, &started).error_code(), grpc::StatusCode::NOT_FOUND);
  // Of this one nobody says that it is to be traced.
  Expect(runtime_->Version(Context().get(), {}, &version));

  const auto spans = collector.Spans(2);
  ASSERT_EQ(spans.size(), 2U);
  for (const otlp::Span& span : spans) {
    EXPECT_EQ(span.trace_id(), "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c");
    EXPECT_EQ(span.parent_span_id(), "\xb7\xad\x6b\x71\x69\x20\x33\x31");
    EXPECT_EQ(span.span_id().size(), 8U);
    EXPECT_EQ(span.kind(), otlp::Span::SERVER);
    // Half a millisecond for two clocks that are not read at once.
    EXPECT_GE(span.start_time_unix_nano() + 500'000, static_cast<uint64_t>(before));
    EXPECT_GE(span.end_time_unix_nano(), span.start_time_unix_nano());
    EXPECT_LE(span.end_time_unix_nano(), static_cast<uint64_t>(base::NowNanoseconds()) + 500'000);
  }
  EXPECT_EQ(spans[0].name(), "Version");
  EXPECT_EQ(Value(spans[0].attributes(), "rpc.method"), "Version");
  EXPECT_EQ(spans[0].status().code(), otlp::SpanStatus::UNSET);
  EXPECT_EQ(spans[1].name(), "StartContainer");
  EXPECT_EQ(spans[1].status().code(), otlp::SpanStatus::ERROR);
  EXPECT_THAT(spans[1].status().message(), testing::HasSubstr("none"));
  EXPECT_EQ(Value(collector.Resource().attributes(), "service.name"), "cri-nspawnd");
}

TEST_F(TraceExportTest, WhatACallDoesIsBelowIt) {
  Collector collector(Endpoint());
  TraceExport traces(Endpoint(), 1'000'000);
  RunPod("web");
  // Beside the call, at least the record that it wrote.
  const auto spans = collector.Spans(2);
  ASSERT_GE(spans.size(), 2U);
  std::map<std::string, otlp::Span> by_name;
  for (const otlp::Span& span : spans) by_name[span.name()] = span;
  ASSERT_TRUE(by_name.contains("RunPodSandbox"));
  ASSERT_TRUE(by_name.contains("disk write record"));
  EXPECT_EQ(by_name["RunPodSandbox"].parent_span_id(), "");
  EXPECT_EQ(by_name["disk write record"].parent_span_id(), by_name["RunPodSandbox"].span_id());
  EXPECT_EQ(by_name["disk write record"].trace_id(), by_name["RunPodSandbox"].trace_id());
}

TEST_F(TraceExportTest, WithoutACollectorCallsAreAnsweredAndTheEndDoesNotWaitLong) {
  const auto begin = std::chrono::steady_clock::now();
  {
    TraceExport traces(Endpoint(), 1'000'000);
    for (int i = 0; i < 1000; ++i) {
      v1::VersionResponse version;
      Expect(runtime_->Version(Context().get(), {}, &version));
    }
    server_->Stop(std::chrono::seconds(1));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace cri
