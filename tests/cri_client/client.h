// A client of the CRI on a unix socket, for tests and benchmarks: calls with a deadline that tell how long they took.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>

#include "proto/runtime.grpc.pb.h"

namespace cri_client {

namespace v1 = runtime::v1;

template <typename Response>
struct Answer {
  grpc::Status status;
  Response response;
  std::chrono::nanoseconds took{0};  // from the call to the answer, at the client

  bool ok() const { return status.ok(); }
  grpc::StatusCode code() const { return status.error_code(); }
};

// Thread-safe: any number of threads may call at once, over one connection. Each object has a connection of its own.
class Client {
 public:
  static constexpr std::chrono::milliseconds kDefaultDeadline{120'000};  // a kubelet's

  // Connects when it is first needed, and anew within 50 ms of the daemon's return.
  explicit Client(const std::string& socket);

  // client.Call(&v1::RuntimeService::Stub::Version, request): any unary call. Without a daemon, kUnavailable at once.
  template <typename Stub, typename Request, typename Response>
  Answer<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        const Request& request, std::chrono::milliseconds deadline = kDefaultDeadline) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    return CallIn(context, method, request);
  }
  // The same with the caller's own context, which another thread may cancel.
  template <typename Stub, typename Request, typename Response>
  Answer<Response> CallIn(grpc::ClientContext& context,
                          grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                          const Request& request) {
    Answer<Response> answer;
    const auto begin = std::chrono::steady_clock::now();
    answer.status = (StubOf<Stub>().*method)(&context, request, &answer.response);
    answer.took = std::chrono::steady_clock::now() - begin;
    return answer;
  }

  // Waits until the daemon serves; false when it does not within `most`.
  bool WaitUntilServed(std::chrono::milliseconds most);

 private:
  template <typename Stub>
  Stub& StubOf() {
    if constexpr (std::is_same_v<Stub, v1::RuntimeService::Stub>) {
      return *runtime_;
    } else {
      static_assert(std::is_same_v<Stub, v1::ImageService::Stub>);
      return *images_;
    }
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::RuntimeService::Stub> runtime_;
  const std::unique_ptr<v1::ImageService::Stub> images_;
};

}  // namespace cri_client
