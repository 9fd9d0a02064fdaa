// What a person calls an image.
#pragma once

#include <string>

#include "proto/runtime.pb.h"

namespace cri {

// The pod's own words for it; the kubelet gives the image's id otherwise (ImageSpec.user_specified_image).
inline const std::string& ImageName(const runtime::v1::ImageSpec& image) {
  return image.user_specified_image().empty() ? image.image() : image.user_specified_image();
}

}  // namespace cri
