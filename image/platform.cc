#include "image/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <iterator>

namespace image {
namespace {

// An absent variant means the first one, as in the OCI image specification's table of variants.
std::string DefaultVariant(const std::string& architecture, const std::string& variant) {
  if (!variant.empty()) return variant;
  if (architecture == "arm64") return "v8";
  if (architecture == "arm") return "v7";
  if (architecture == "amd64") return "v1";
  return variant;
}

bool Same(const Platform& a, const Platform& b) {
  return a.os == b.os && a.architecture == b.architecture &&
         DefaultVariant(a.architecture, a.variant) == DefaultVariant(b.architecture, b.variant);
}

// The x86-64 psABI's levels, told by the features that processors got last in each.
int X86Level() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return 1;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("fma")) return 2;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return avx512 ? 4 : 3;
#else
  return 1;
#endif
}

}  // namespace

std::vector<Platform> PlatformsOf(const std::string& machine, int x86_level) {
  std::vector<Platform> out;
  const auto add = [&](const char* architecture, const std::string& variant = "") {
    out.push_back({"linux", architecture, variant});
  };
  const auto add_arm = [&](int newest) {
    for (int version = newest; version >= 5; --version) add("arm", "v" + std::to_string(version));
  };
  if (machine == "x86_64") {
    for (int level = x86_level; level >= 1; --level) add("amd64", "v" + std::to_string(level));
    add("386");
  } else if (machine == "aarch64") {
    add("arm64", "v8");
    add_arm(8);
  } else if (machine.starts_with("armv8")) {
    add_arm(8);
  } else if (machine.starts_with("armv7")) {
    add_arm(7);
  } else if (machine.starts_with("armv6")) {
    add_arm(6);
  } else if (machine.starts_with("armv5")) {
    add_arm(5);
  } else if (machine.size() == 4 && machine.front() == 'i' && machine.ends_with("86")) {
    add("386");
  } else {
    // Go and the kernel agree on ppc64le, s390x, riscv64; LoongArch is "loong64" in Go.
    add(machine == "loongarch64" ? "loong64" : machine.c_str());
  }
  return out;
}

const std::vector<Platform>& HostPlatforms() {
  static const std::vector<Platform> platforms = [] {
    utsname names{};
    ::uname(&names);
    return PlatformsOf(names.machine, X86Level());
  }();
  return platforms;
}

const Descriptor* SelectManifest(const Index& index, const std::vector<Platform>& platforms) {
  for (const Platform& wanted : platforms) {
    for (const Descriptor& manifest : index.manifests) {
      if (manifest.platform.has_value() && Same(*manifest.platform, wanted)) return &manifest;
    }
  }
  const auto unknown = std::find_if(index.manifests.begin(), index.manifests.end(),
                                    [](const Descriptor& manifest) { return !manifest.platform.has_value(); });
  return unknown == index.manifests.end() ? nullptr : &*unknown;
}

bool Fits(const Platform& platform, const std::vector<Platform>& platforms) {
  return std::any_of(platforms.begin(), platforms.end(), [&](const Platform& wanted) {
    return (platform.os.empty() || platform.os == wanted.os) &&
           (platform.architecture.empty() ||
            (platform.architecture == wanted.architecture &&
             (platform.variant.empty() || Same({wanted.os, platform.architecture, platform.variant}, wanted))));
  });
}

}  // namespace image
