// An interface in place of one that a cut-off DEL has deleted already.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cni {

// The reference plugins (bridge 1.1.1 to 1.7) learn from the pod's interface for which addresses they have made rules
// on the host. A plugin that was killed when the interface was gone and the rules were not leaves them for ever, unless
// its next DEL finds an interface of that name with those addresses again.
//
// It is one end of a veth pair whose other end stays in the namespace, and goes with either. Not thread-safe.
class StandIn {
 public:
  // Of the network namespace at `path` (nothing is done when that is empty); `addresses` are without prefix length.
  StandIn(std::string path, std::string interface, std::vector<std::string> addresses)
      : path_(std::move(path)), interface_(std::move(interface)), addresses_(std::move(addresses)) {}
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  // Makes it, unless the namespace has an interface by that name. Nothing where there are no addresses, which is why a
  // plugin looks for it. What fails is told in the journal: the plugin runs without it then, as it would have anyway.
  void Make();
  // Removes it, or what a plugin has made of it; no other interface.
  void Remove();

 private:
  const std::string path_;
  const std::string interface_;
  const std::vector<std::string> addresses_;
  bool made_ = false;
};

}  // namespace cni
