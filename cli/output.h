// How results are shown. What comes from images and registries is made printable.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

// One document on standard output, indented.
void PrintJson(const nlohmann::json& document);
// One line on standard output.
void PrintLine(std::string_view text);
// One line on standard error, for a person: "cri-nspawn-image: text".
void PrintNote(std::string_view text);

// Columns side by side, each as wide as its longest text; the first row is the heading.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// "4.26MB": three digits and decimal units, as docker, podman and crictl write sizes.
std::string FormatSize(uint64_t bytes);

// The first 13 digits of an id or digest, without its algorithm.
std::string ShortId(std::string_view id);

}  // namespace cli
