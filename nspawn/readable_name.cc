#include <algorithm>

#include "nspawn/machine.h"

namespace nspawn {
namespace {

constexpr size_t kMostName = 64;  // of a machine, as of a host name
constexpr size_t kMostId = 12;

// Lower-case letters, digits and single dashes inside.
std::string Plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      out += c;
    } else if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c - 'A' + 'a');
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  if (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

}  // namespace

std::string ReadableName(const std::vector<std::string>& parts, const std::string& id) {
  const std::string suffix = Plain(std::string_view(id).substr(0, kMostId));
  std::vector<std::string> plain;
  size_t length = suffix.size();
  for (const std::string& part : parts) {
    // More of it could never be kept.
    std::string text = Plain(std::string_view(part).substr(0, 4 * kMostName)).substr(0, kMostName);
    if (text.empty()) continue;
    length += text.size() + 1;
    plain.push_back(std::move(text));
  }
  while (length > kMostName) {
    auto longest =
        std::max_element(plain.begin(), plain.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    longest->pop_back();
    --length;
    if (longest->empty()) {
      plain.erase(longest);
      --length;
    }
  }
  std::string name;
  for (std::string& part : plain) {
    while (!part.empty() && part.back() == '-') part.pop_back();
    if (!part.empty()) name += part + "-";
  }
  return name + suffix;
}

}  // namespace nspawn
