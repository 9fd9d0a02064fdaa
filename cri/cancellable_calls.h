// Unary RPCs that can take long and whose work must end when the client goes away: PullImage and ExecSync.
//
// gRPC tells of a client's going only through a completion queue. One thread waits on it, without a timeout; each call
// has a thread of its own while it runs.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace cri {

class CancellableCalls {
 public:
  // The completion queue belongs to the server that `builder` will build.
  explicit CancellableCalls(grpc::ServerBuilder& builder) : queue_(builder.AddCompletionQueue()) {}
  CancellableCalls(const CancellableCalls&) = delete;
  CancellableCalls& operator=(const CancellableCalls&) = delete;
  ~CancellableCalls() { Shutdown(); }

  template <typename Request, typename Response>
  using Handler = std::function<grpc::Status(const grpc::ServerContext&, const Request&, Response&, std::stop_token)>;

  // Answers the calls of one method by `handler`, which runs in a thread of its own and watches the token. `request` is
  // the RequestXxx method of `service`. To be called between the building of the server and Run().
  template <typename Service, typename Base, typename Request, typename Response>
  void Serve(Service& service,
             void (Base::*request)(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             std::type_identity_t<Handler<Request, Response>> handler) {
    auto method = std::make_unique<Method<Request, Response>>();
    method->calls = this;
    method->handler = std::move(handler);
    method->receive = [this, &service, request](Call<Request, Response>& call) {
      (service.*request)(&call.context, &call.request, &call.responder, queue_.get(), queue_.get(), &call.on_begin);
    };
    method->WaitForCall();
    methods_.push_back(std::move(method));
  }

  void Run() {
    thread_ = std::thread([this] {
      void* tag = nullptr;
      bool ok = false;
      while (queue_->Next(&tag, &ok)) (*static_cast<Tag*>(tag))(ok);
    });
  }

  // To be called after the server's Shutdown(), which cancels what still runs; waits for it.
  void Shutdown() {
    if (!thread_.joinable()) return;
    {
      std::unique_lock lock(mutex_);
      idle_.wait(lock, [&] { return running_ == 0; });
    }
    queue_->Shutdown();
    thread_.join();
  }

 private:
  using Tag = std::function<void(bool)>;

  struct AnyMethod {
    virtual ~AnyMethod() = default;
  };

  template <typename Request, typename Response>
  struct Method;

  // One call, from the wait for it until it is over; owns itself. Its tags are called in the queue's thread.
  template <typename Request, typename Response>
  struct Call {
    explicit Call(Method<Request, Response>& method_in) : method(method_in), responder(&context) {
      on_begin = [this](bool ok) { Begin(ok); };
      on_gone = [this](bool) {
        if (context.IsCancelled()) stopping.request_stop();
        Leave();
      };
      on_answered = [this](bool) { Leave(); };
      context.AsyncNotifyWhenDone(&on_gone);
    }

    void Begin(bool ok) {
      if (!ok) {  // the server shuts down
        delete this;
        return;
      }
      method.WaitForCall();
      method.calls->Enter();
      std::thread([this] {
        const grpc::Status status = method.handler(context, request, response, stopping.get_token());
        responder.Finish(response, status, &on_answered);
      }).detach();
    }

    // The answer was sent, and the call is over: both come, in either order.
    void Leave() {
      if (--events_left > 0) return;
      CancellableCalls& calls = *method.calls;
      delete this;
      calls.Leave();
    }

    Method<Request, Response>& method;
    grpc::ServerContext context;
    Request request;
    Response response;
    grpc::ServerAsyncResponseWriter<Response> responder;
    std::stop_source stopping;
    int events_left = 2;
    Tag on_begin, on_gone, on_answered;
  };

  template <typename Request, typename Response>
  struct Method : AnyMethod {
    void WaitForCall() { receive(*new Call<Request, Response>(*this)); }
    CancellableCalls* calls = nullptr;
    Handler<Request, Response> handler;
    std::function<void(Call<Request, Response>&)> receive;
  };

  void Enter() {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  void Leave() {
    {
      const std::lock_guard lock(mutex_);
      --running_;
    }
    idle_.notify_all();
  }

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::vector<std::unique_ptr<AnyMethod>> methods_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
  std::thread thread_;
};

}  // namespace cri
