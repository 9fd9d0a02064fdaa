#include "nspawn/process/bundle.h"

#include "base/files.h"

namespace nspawn {
namespace {

constexpr size_t kLongestSpec = 8 * 1024 * 1024;
constexpr size_t kLongestSeccomp = 64 * 1024;

}  // namespace

base::Result<Bundle> ReadBundle(const std::string& directory) {
  Bundle bundle;
  ASSIGN_OR_RETURN(const std::string encoded, base::ReadFile(directory + "/spec", kLongestSpec));
  ASSIGN_OR_RETURN(bundle.spec, Decode(encoded));
  if (bundle.spec.seccomp) {
    ASSIGN_OR_RETURN(bundle.seccomp, base::ReadFile(directory + "/seccomp", kLongestSeccomp));
  }
  return bundle;
}

}  // namespace nspawn
