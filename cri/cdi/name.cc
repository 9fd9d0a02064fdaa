#include "cri/cdi/name.h"

#include <algorithm>

#include "base/text.h"

namespace cri::cdi {
namespace {

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsLetterOrDigit(char c) {
  return IsLetter(c) || (c >= '0' && c <= '9');
}

bool HasOnly(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return IsLetterOrDigit(c) || more.find(c) != std::string_view::npos; });
}

}  // namespace

bool IsVendorOrClass(std::string_view text) {
  return !text.empty() && IsLetter(text.front()) && IsLetterOrDigit(text.back()) && HasOnly(text, "_-.");
}

bool IsDevice(std::string_view text) {
  return !text.empty() && IsLetterOrDigit(text.front()) && IsLetterOrDigit(text.back()) && HasOnly(text, "_-.:");
}

base::Result<DeviceName> ParseDeviceName(std::string_view name) {
  const size_t slash = name.find('/');
  const size_t equals = name.find('=');
  if (slash != std::string_view::npos && equals != std::string_view::npos && slash < equals) {
    DeviceName parsed{std::string(name.substr(0, slash)), std::string(name.substr(slash + 1, equals - slash - 1)),
                      std::string(name.substr(equals + 1))};
    if (IsVendorOrClass(parsed.vendor) && IsVendorOrClass(parsed.device_class) && IsDevice(parsed.device))
      return parsed;
  }
  return base::InvalidArgument("invalid CDI device name \"" + base::Printable(name, 256) +
                               "\": it must be <vendor>/<class>=<device>");
}

}  // namespace cri::cdi
