#include "nspawn/hostname.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace nspawn {
namespace {

bool IsLetterOrDigit(unsigned char c) {
  return c < 0x80 && std::isalnum(c) != 0;
}

}  // namespace

bool IsHostname(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  const auto labels = base::Split(name, '.');
  return std::all_of(labels.begin(), labels.end(), [](std::string_view label) {
    return !label.empty() && label.front() != '-' && label.back() != '-' &&
           std::all_of(label.begin(), label.end(), [](char c) { return c == '-' || IsLetterOrDigit(c); });
  });
}

std::string HostnameFrom(std::string_view pod_name) {
  std::string name;
  const auto trim = [&name](const char* what) { name.erase(name.find_last_not_of(what) + 1); };
  for (const char c : pod_name.substr(0, 63)) {
    if (c == '.') trim("-.");
    if (IsLetterOrDigit(c)) {
      name += c;
    } else if (!name.empty() && name.back() != '.') {
      name += c == '.' ? '.' : '-';
    }
  }
  trim("-.");
  return name.empty() ? "pod" : name;
}

}  // namespace nspawn
