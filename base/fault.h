// Named points at which a test has this process die: steps between an intent and its completion.
//
// Nothing is compiled of them unless CMake's option CRI_NSPAWN_FAULTS is on. Then the names of a program's points are
// in its ELF section "fault_points", each with a NUL behind it.
#pragma once

#ifdef CRI_NSPAWN_FAULTS

namespace base {

// Names the point in its first line, and in its second how many passes of this process are let by before.
inline constexpr char kFaultFile[] = "/run/cri-nspawn-fault";

// Kills this process when the file at kFaultFile names this point; the file is removed first. Thread-safe.
void PassFaultPoint(const char* name);

}  // namespace base

// Not in templates or inline functions, where the linker would put the name elsewhere.
#define FAULT_POINT(name)                                                                           \
  do {                                                                                              \
    static constexpr char fault_point_name[] __attribute__((section("fault_points"), used)) = name; \
    ::base::PassFaultPoint(fault_point_name);                                                       \
  } while (false)

#else
#define FAULT_POINT(name) static_cast<void>(0)
#endif
