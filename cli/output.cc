#include "cli/output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>

#include "base/text.h"

namespace cli {
namespace {

constexpr size_t kMostLine = 16384;
constexpr size_t kShortId = 13;

}  // namespace

void PrintJson(const nlohmann::json& document) {
  std::cout << document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

void PrintLine(std::string_view text) {
  std::cout << base::Printable(text, kMostLine) << "\n";
}

void PrintNote(std::string_view text) {
  std::cerr << "cri-nspawn-image: " << base::Printable(text, kMostLine) << "\n";
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], base::Printable(row[i]).size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string text = base::Printable(row[i]);
      out += text;
      if (i + 1 < row.size()) out.append(widths[i] - text.size() + 3, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string FormatSize(uint64_t bytes) {
  constexpr std::array<const char*, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  // What would be rounded to 1000 is one of the next unit.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g%s", value, kUnits[unit]);
  return text.data();
}

std::string ShortId(std::string_view id) {
  const size_t colon = id.find(':');
  if (colon != std::string_view::npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, kShortId));
}

}  // namespace cli
