// The WWW-Authenticate header of RFC 9110, as registries use it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace image {

struct Challenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// All challenges of one header value. What cannot be read is left out.
std::vector<Challenge> ParseChallenges(std::string_view header);

}  // namespace image
