// RPCs that can take long and whose work must end when the client goes away: PullImage, ExecSync, GetContainerEvents.
//
// gRPC tells of a client's going only through a completion queue. One thread waits on it, without a timeout; each call
// has a thread of its own while it runs, some of which are kept for the next calls.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/call_threads.h"
#include "cri/rpc.h"

namespace cri {

class CancellableCalls {
 public:
  // The completion queue belongs to the server that `builder` will build. gRPC is told that it is seldom waited for:
  // the threads of all other calls would otherwise leave the reading of requests to this one's thread, and each call
  // would wait for one thread to wake another.
  explicit CancellableCalls(grpc::ServerBuilder& builder) : queue_(builder.AddCompletionQueue(false)) {}
  CancellableCalls(const CancellableCalls&) = delete;
  CancellableCalls& operator=(const CancellableCalls&) = delete;
  ~CancellableCalls() { Shutdown(); }

  template <typename Request, typename Response>
  using Handler = std::function<grpc::Status(const grpc::ServerContext&, const Request&, Response&, std::stop_token)>;

  // Sends one message of a stream; false when the client is gone.
  template <typename Response>
  using Write = std::function<bool(const Response&)>;
  template <typename Request, typename Response>
  using StreamHandler =
      std::function<grpc::Status(const grpc::ServerContext&, const Request&, const Write<Response>&, std::stop_token)>;

  // Answers the calls of one method by `handler`, which runs in a thread of its own and watches the token. `request` is
  // the RequestXxx method of `service`. To be called between the building of the server and Run().
  template <typename Service, typename Base, typename Request, typename Response>
  void Serve(Service& service,
             void (Base::*request)(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             std::type_identity_t<Handler<Request, Response>> handler) {
    using Responder = grpc::ServerAsyncResponseWriter<Response>;
    Add<Request, Responder>(service, request, [handler = std::move(handler)](Call<Request, Responder>& call) {
      Response response;
      const grpc::Status status = handler(call.context, call.request, response, call.stopping.get_token());
      call.responder.Finish(response, status, &call.on_answered);
    });
  }

  // The same for a method that answers with a stream.
  template <typename Service, typename Base, typename Request, typename Response>
  void Serve(Service& service,
             void (Base::*request)(grpc::ServerContext*, Request*, grpc::ServerAsyncWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             std::type_identity_t<StreamHandler<Request, Response>> handler) {
    using Responder = grpc::ServerAsyncWriter<Response>;
    Add<Request, Responder>(service, request, [handler = std::move(handler)](Call<Request, Responder>& call) {
      const auto write = [&call](const Response& response) {
        call.responder.Write(response, &call.on_written);
        call.written.acquire();
        return call.last_write_good;
      };
      const grpc::Status status = handler(call.context, call.request, write, call.stopping.get_token());
      call.responder.Finish(status, &call.on_answered);
    });
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

  template <typename Request, typename Responder>
  struct Method;

  // One call, from the wait for it until it is over; owns itself. Its tags are called in the queue's thread.
  template <typename Request, typename Responder>
  struct Call {
    explicit Call(Method<Request, Responder>& method_in) : method(method_in), responder(&context) {
      on_begin = [this](bool ok) { Begin(ok); };
      on_gone = [this](bool) {
        if (context.IsCancelled()) stopping.request_stop();
        Leave();
      };
      on_written = [this](bool ok) {
        last_write_good = ok;
        written.release();
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
      if (const auto status = method.calls->threads_.Run([this] { method.serve(*this); }); !status.ok()) {
        if constexpr (requires { responder.FinishWithError(grpc::Status(), &on_answered); }) {
          responder.FinishWithError(ToGrpc(status), &on_answered);
        } else {
          responder.Finish(ToGrpc(status), &on_answered);
        }
      }
    }

    // The answer was sent, and the call is over: both come, in either order.
    void Leave() {
      if (--events_left > 0) return;
      CancellableCalls& calls = *method.calls;
      delete this;
      calls.Leave();
    }

    Method<Request, Responder>& method;
    grpc::ServerContext context;
    Request request;
    Responder responder;
    std::stop_source stopping;
    std::binary_semaphore written{0};
    bool last_write_good = false;
    int events_left = 2;
    Tag on_begin, on_gone, on_written, on_answered;
  };

  template <typename Request, typename Responder>
  struct Method : AnyMethod {
    void WaitForCall() { receive(*new Call<Request, Responder>(*this)); }
    CancellableCalls* calls = nullptr;
    std::function<void(Call<Request, Responder>&)> receive;
    std::function<void(Call<Request, Responder>&)> serve;
  };

  template <typename Request, typename Responder, typename Service, typename RequestMethod>
  void Add(Service& service, RequestMethod request, std::function<void(Call<Request, Responder>&)> serve) {
    auto method = std::make_unique<Method<Request, Responder>>();
    method->calls = this;
    method->serve = std::move(serve);
    method->receive = [this, &service, request](Call<Request, Responder>& call) {
      (service.*request)(&call.context, &call.request, &call.responder, queue_.get(), queue_.get(), &call.on_begin);
    };
    method->WaitForCall();
    methods_.push_back(std::move(method));
  }

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

  // As many as commands in containers, of probes for example, come at once on a small node.
  static constexpr size_t kKeptThreads = 16;

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::vector<std::unique_ptr<AnyMethod>> methods_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
  base::CallThreads threads_{kKeptThreads};
  std::thread thread_;
};

}  // namespace cri
