// pause: the first process of a pod's machine. It reaps orphans and sleeps until it is told to end.
//
// There is one for each pod of a node, so it has neither a C library nor a heap: its whole memory is a stack page and
// what the kernel needs for any process.
#include <asm/unistd.h>
#include <linux/signal.h>
#include <linux/wait.h>

namespace {

#if defined(__x86_64__)
long SystemCall(long number, long a, long b, long c, long d) {
  long result = number;
  register long fourth __asm__("r10") = d;
  __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
long SystemCall(long number, long a, long b, long c, long d) {
  register long call __asm__("x8") = number;
  register long result __asm__("x0") = a;
  register long second __asm__("x1") = b;
  register long third __asm__("x2") = c;
  register long fourth __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(result) : "r"(call), "r"(second), "r"(third), "r"(fourth) : "memory");
  return result;
}
#else
#error "pause is written for x86-64 and arm64"
#endif

// As the kernel has it: one bit for each of 64 signals, the lowest for number 1.
using SignalSet = unsigned long;
static_assert(sizeof(SignalSet) == 8);

// SIGRTMIN+3 and +4 as C libraries count them, which keep two real-time signals to themselves; systemd asks with them
// to halt and to power off.
constexpr long kHalt = 37;
constexpr long kPowerOff = 38;

}  // namespace

extern "C" [[noreturn]] void _start() {
  const SignalSet all = ~SignalSet{0};
  const auto set = reinterpret_cast<long>(&all);
  // Blocked signals are kept for this process, although it is the first of its PID namespace and handles none.
  SystemCall(__NR_rt_sigprocmask, SIG_BLOCK, set, 0, sizeof all);
  while (true) {
    while (SystemCall(__NR_wait4, -1, 0, WNOHANG, 0) > 0) continue;
    const long signal = SystemCall(__NR_rt_sigtimedwait, set, 0, 0, sizeof all);
    if (signal == SIGTERM || signal == SIGINT || signal == kHalt || signal == kPowerOff) {
      while (true) SystemCall(__NR_exit_group, 0, 0, 0, 0);
    }
  }
}
