// With which signal a container is stopped.
#pragma once

#include <string>

#include "image/store.h"
#include "proto/runtime.pb.h"

namespace cri {

// The pod's, else the image's, else SIGTERM. An image's that is no signal counts as none.
runtime::v1::Signal StopSignalOf(const runtime::v1::ContainerConfig& config, const image::ImageConfig& image);

// As signal(7) writes it: "SIGTERM", "SIGRTMIN+3".
std::string SignalText(runtime::v1::Signal signal);

}  // namespace cri
