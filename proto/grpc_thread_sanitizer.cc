// Tells the thread sanitizer how threads wait for each other in gRPC, whose libraries are built without it: through
// completion queues and Abseil's mutexes, both of which sleep by futex(2). Linked into programs of such a build only,
// where these definitions are found before the libraries' own.

#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

// What the libraries themselves do in memory is not judged, only what is done from code that is built with the
// sanitizer.
extern "C" const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1";
}

namespace {

template <typename Function>
Function* Original(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) {
    std::fprintf(stderr, "no %s in the libraries of this program\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

grpc_event Received(grpc_completion_queue* queue, const grpc_event& event) {
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  if (event.type == GRPC_QUEUE_SHUTDOWN) __tsan_acquire(queue);
  return event;
}

}  // namespace

extern "C" {

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline, void* reserved) {
  static auto* const original = Original<decltype(grpc_completion_queue_next)>("grpc_completion_queue_next");
  return Received(queue, original(queue, deadline, reserved));
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag, gpr_timespec deadline, void* reserved) {
  static auto* const original = Original<decltype(grpc_completion_queue_pluck)>("grpc_completion_queue_pluck");
  return Received(queue, original(queue, tag, deadline, reserved));
}

int grpc_completion_queue_thread_local_cache_flush(grpc_completion_queue* queue, void** tag, int* ok) {
  static auto* const original = Original<decltype(grpc_completion_queue_thread_local_cache_flush)>(
      "grpc_completion_queue_thread_local_cache_flush");
  const int found = original(queue, tag, ok);
  if (found != 0) __tsan_acquire(*tag);
  return found;
}

void grpc_completion_queue_shutdown(grpc_completion_queue* queue) {
  static auto* const original = Original<decltype(grpc_completion_queue_shutdown)>("grpc_completion_queue_shutdown");
  __tsan_release(queue);
  original(queue);
}

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag, void* reserved) {
  static auto* const original = Original<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  __tsan_release(tag);
  return original(call, ops, count, tag, reserved);
}

grpc_call_error grpc_server_request_registered_call(grpc_server* server, void* method, grpc_call** call,
                                                    gpr_timespec* deadline, grpc_metadata_array* metadata,
                                                    grpc_byte_buffer** payload, grpc_completion_queue* bound_to_call,
                                                    grpc_completion_queue* notified, void* tag) {
  static auto* const original =
      Original<decltype(grpc_server_request_registered_call)>("grpc_server_request_registered_call");
  __tsan_release(tag);
  return original(server, method, call, deadline, metadata, payload, bound_to_call, notified, tag);
}

grpc_call_error grpc_server_request_call(grpc_server* server, grpc_call** call, grpc_call_details* details,
                                         grpc_metadata_array* metadata, grpc_completion_queue* bound_to_call,
                                         grpc_completion_queue* notified, void* tag) {
  static auto* const original = Original<decltype(grpc_server_request_call)>("grpc_server_request_call");
  __tsan_release(tag);
  return original(server, call, details, metadata, bound_to_call, notified, tag);
}

void grpc_server_shutdown_and_notify(grpc_server* server, grpc_completion_queue* queue, void* tag) {
  static auto* const original = Original<decltype(grpc_server_shutdown_and_notify)>("grpc_server_shutdown_and_notify");
  __tsan_release(tag);
  original(server, queue, tag);
}

}  // extern "C"

// By the names that Debian's Abseil gives them.
using MutexCall = void(absl::Mutex*);
using MutexTry = bool(absl::Mutex*);

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static auto* const original = Original<MutexCall>("_ZN4absl7debian35Mutex4LockEv");
  original(this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static auto* const original = Original<MutexCall>("_ZN4absl7debian35Mutex6UnlockEv");
  __tsan_release(this);
  original(this);
}

bool Mutex::TryLock() {
  static auto* const original = Original<MutexTry>("_ZN4absl7debian35Mutex7TryLockEv");
  if (!original(this)) return false;
  __tsan_acquire(this);
  return true;
}

void Mutex::ReaderLock() {
  static auto* const original = Original<MutexCall>("_ZN4absl7debian35Mutex10ReaderLockEv");
  original(this);
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  static auto* const original = Original<MutexCall>("_ZN4absl7debian35Mutex12ReaderUnlockEv");
  __tsan_release(this);
  original(this);
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const original = Original<void(CondVar*, Mutex*)>("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
  __tsan_release(mutex);
  original(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const original =
      Original<bool(CondVar*, Mutex*, Time)>("_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  __tsan_release(mutex);
  const bool timed_out = original(this, mutex, deadline);
  __tsan_acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const original = Original<bool(CondVar*, Mutex*, Duration)>(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mutex);
  const bool timed_out = original(this, mutex, timeout);
  __tsan_acquire(mutex);
  return timed_out;
}

ABSL_NAMESPACE_END
}  // namespace absl
