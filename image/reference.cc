#include "image/reference.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "image/digest.h"

namespace image {
namespace {

constexpr size_t kMostNameBytes = 255;
constexpr size_t kMostTagBytes = 128;
// Domain, name, tag and a sha512 digest with room to spare; longer text is not even looked at.
constexpr size_t kMostReferenceBytes = 1024;

bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsAlphanumeric(char c) {
  return IsLower(c) || IsDigit(c) || (c >= 'A' && c <= 'Z');
}

bool IsPort(std::string_view text) {
  const auto port = base::ParseUnsigned(text);
  return text.size() <= 5 && port.has_value() && *port > 0 && *port <= 65535;
}

bool IsHostName(std::string_view text) {
  const auto parts = base::Split(text, '.');
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    return !part.empty() && part.size() <= 63 && part.front() != '-' && part.back() != '-' &&
           std::all_of(part.begin(), part.end(), [](char c) { return IsAlphanumeric(c) || c == '-'; });
  });
}

bool IsDomain(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    const std::string_view address = text.substr(1, end - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    const std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest.front() == ':' && IsPort(rest.substr(1)));
  }
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && !IsPort(text.substr(colon + 1))) return false;
  return IsHostName(text.substr(0, colon));
}

// Letters and digits in runs, which one '.', one or two '_' or any number of '-' separate.
bool IsPathComponent(std::string_view text) {
  size_t at = 0;
  const auto take_run = [&] {
    const size_t start = at;
    while (at < text.size() && (IsLower(text[at]) || IsDigit(text[at]))) ++at;
    return at > start;
  };
  if (!take_run()) return false;
  while (at < text.size()) {
    if (text[at] == '.') {
      ++at;
    } else if (text[at] == '_') {
      at += text.substr(at).starts_with("__") ? 2 : 1;
    } else if (text[at] == '-') {
      while (at < text.size() && text[at] == '-') ++at;
    }
    if (!take_run()) return false;
  }
  return true;
}

bool IsTag(std::string_view text) {
  if (text.empty() || text.size() > kMostTagBytes || text.front() == '.' || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsImageId(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

base::Result<Reference> ParseReference(std::string_view text) {
  const auto invalid = [&](std::string_view why) {
    return base::InvalidArgument("image reference \"" + base::Printable(text, 300) + "\": " + std::string(why));
  };
  if (text.empty()) return base::InvalidArgument("the image reference is empty");
  if (text.size() > kMostReferenceBytes) return invalid("too long");

  Reference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    if (!IsDigest(rest.substr(at + 1))) return invalid("what follows the @ is no sha256 or sha512 digest");
    reference.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  if (const size_t colon = rest.rfind(':');
      colon != std::string_view::npos && rest.find('/', colon) == std::string_view::npos) {
    if (!IsTag(rest.substr(colon + 1))) return invalid("the tag is not valid");
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }

  // What comes before the first slash is a registry only if it cannot be a part of a repository's name.
  const size_t slash = rest.find('/');
  const std::string_view first = rest.substr(0, slash);
  const bool names_registry = slash != std::string_view::npos &&
                              (first.find_first_of(".:[") != std::string_view::npos || first == "localhost" ||
                               std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
  if (names_registry) {
    if (!IsDomain(first)) return invalid("the registry's host name is not valid");
    reference.domain = first;
    rest = rest.substr(slash + 1);
  } else {
    reference.domain = "docker.io";
  }
  if (reference.domain == "index.docker.io") reference.domain = "docker.io";
  if (rest.empty()) return invalid("the repository's name is missing");
  if (!names_registry && IsImageId(rest)) return invalid("64 hexadecimal digits are an image id, not a name");
  reference.repository = rest;
  if (reference.domain == "docker.io" && rest.find('/') == std::string_view::npos) {
    reference.repository.insert(0, "library/");
  }
  if (reference.Name().size() > kMostNameBytes) return invalid("the name is longer than 255 characters");
  for (const std::string_view component : base::Split(reference.repository, '/')) {
    if (IsPathComponent(component)) continue;
    const bool upper = std::any_of(component.begin(), component.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    return invalid(upper ? "the repository's name must be in lower case" : "the repository's name is not valid");
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace image
