#include "cri/trace_export.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

namespace cri {

namespace otlp = opentelemetry::proto::collector::trace::v1;

namespace {

constexpr std::chrono::seconds kCollect(1);
constexpr std::chrono::seconds kLongestExport(10);
constexpr size_t kSendAt = 512;
constexpr size_t kMost = 8192;
constexpr size_t kLongestText = 1024;

void Add(google::protobuf::RepeatedPtrField<otlp::KeyValue>& attributes, std::string_view key, std::string_view value) {
  otlp::KeyValue& attribute = *attributes.Add();
  attribute.set_key(std::string(key));
  // A protobuf string has to be UTF-8, and this may come from outside.
  attribute.mutable_value()->set_string_value(base::Printable(value, kLongestText));
}

std::string HostName() {
  utsname names{};
  return ::uname(&names) == 0 ? names.nodename : "";
}

template <typename Id>
std::string Bytes(const Id& id) {
  return {id.begin(), id.end()};
}

// Named as the conventions of OpenTelemetry for RPCs have it.
void Fill(otlp::Span& span, const base::TraceEvent& event) {
  span.set_trace_id(Bytes(event.context.trace_id));
  span.set_span_id(Bytes(event.context.span_id));
  if (event.parent != std::array<uint8_t, 8>{}) span.set_parent_span_id(Bytes(event.parent));
  auto& attributes = *span.mutable_attributes();
  if (event.category == "rpc") {
    span.set_name(event.name);
    span.set_kind(otlp::Span::SERVER);
    Add(attributes, "rpc.system", "grpc");
    Add(attributes, "rpc.method", event.name);
  } else {
    span.set_name(event.category + " " + event.name);
    span.set_kind(event.category == "bus" ? otlp::Span::CLIENT : otlp::Span::INTERNAL);
  }
  if (!event.of.empty()) Add(attributes, "cri_nspawn.of", event.of);
  if (event.error) {
    span.mutable_status()->set_code(otlp::SpanStatus::ERROR);
    span.mutable_status()->set_message(base::Printable(*event.error, kLongestText));
  }
}

}  // namespace

TraceExport::TraceExport(const std::string& endpoint, uint32_t sampled_per_million)
    : collector_(otlp::TraceService::NewStub(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()))),
      host_(HostName()),
      thread_([this] { Run(); }) {
  base::SetTraceExporter(this, sampled_per_million);
}

TraceExport::~TraceExport() {
  base::SetTraceExporter(nullptr, 0);
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void TraceExport::Export(base::TraceEvent event) {
  // The clock of spans does not jump, and the collector wants the time of day.
  const int64_t begin = base::NowNanoseconds() - (base::TraceNow() - event.begin) * 1000;
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= kMost) {
    ++dropped_;
    return;
  }
  queue_.push_back({std::move(event), begin});
  if (queue_.size() == 1 || queue_.size() == kSendAt) changed_.notify_one();
}

void TraceExport::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) return;
    changed_.wait_for(lock, kCollect, [&] { return ending_ || queue_.size() >= kSendAt; });
    std::vector<Entry> entries;
    entries.swap(queue_);
    const uint64_t dropped = std::exchange(dropped_, 0);
    const bool last = ending_;
    lock.unlock();
    Send(std::move(entries), dropped, last);
    lock.lock();
  }
}

void TraceExport::Send(std::vector<Entry> entries, uint64_t dropped, bool last) {
  otlp::ExportTraceServiceRequest request;
  otlp::ResourceSpans& spans = *request.add_resource_spans();
  auto& resource = *spans.mutable_resource()->mutable_attributes();
  Add(resource, "service.name", "cri-nspawnd");
  Add(resource, "service.version", CRI_NSPAWN_VERSION);
  Add(resource, "host.name", host_);
  otlp::KeyValue& pid = *resource.Add();
  pid.set_key("process.pid");
  pid.mutable_value()->set_int_value(::getpid());
  otlp::ScopeSpans& scope = *spans.add_scope_spans();
  scope.mutable_scope()->set_name("cri-nspawn");
  for (const Entry& entry : entries) {
    otlp::Span& span = *scope.add_spans();
    Fill(span, entry.event);
    span.set_start_time_unix_nano(static_cast<uint64_t>(entry.begin));
    span.set_end_time_unix_nano(static_cast<uint64_t>(entry.begin + (entry.event.end - entry.event.begin) * 1000));
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + (last ? kCollect : kLongestExport));
  otlp::ExportTraceServiceResponse response;
  const grpc::Status status = collector_->Export(&context, request, &response);
  const int64_t rejected = response.partial_success().rejected_spans();
  const bool good = status.ok() && rejected == 0 && dropped == 0;
  // Once each time that it begins to fail: a collector that is away for hours must not fill the log.
  if (!good && !failing_) {
    const std::string why = !status.ok()   ? status.error_message()
                            : rejected > 0 ? response.partial_success().error_message()
                                           : "it does not keep up";
    base::Log(base::LogLevel::kWarning, "spans for the collector of traces are lost: " + why);
  }
  failing_ = !good;
}

}  // namespace cri
