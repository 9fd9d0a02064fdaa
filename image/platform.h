// Which of an index's images this machine runs.
#pragma once

#include <vector>

#include "image/manifest.h"

namespace image {

// What this machine runs, best first: its own architecture with its newest variant, older variants, then the 32-bit
// architecture that its processor runs as well.
const std::vector<Platform>& HostPlatforms();

// The same for a given machine name of uname(2), with the x86-64 level (1 to 4) of its processor.
std::vector<Platform> PlatformsOf(const std::string& machine, int x86_level);

// The index's manifest that fits best. Where none states a fitting platform, the first that states no platform at all.
// nullptr if there is none.
const Descriptor* SelectManifest(const Index& index, const std::vector<Platform>& platforms);

// Whether an image with this configuration runs on one of `platforms`; members that it leaves empty fit.
bool Fits(const Platform& platform, const std::vector<Platform>& platforms);

}  // namespace image
