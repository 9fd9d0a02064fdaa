// Whom a container runs as.
#pragma once

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// The user and groups that a security context asks for, else those of the image; names are not resolved yet.
// kInvalidArgument names the field that is wrong.
base::Result<nspawn::User> MakeUser(const v1::LinuxContainerSecurityContext& security, const image::ImageConfig& image);

}  // namespace cri
